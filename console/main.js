// The page: puts its parts together.

import * as api from "./api.js";
import * as breaker from "./breaker.js";
import * as list from "./list.js";
import * as panels from "./panels.js";
import { at, business, pages } from "./business.js";
import { refreshSoon } from "./data.js";
import { h } from "./dom.js";

const CONNECTION = { live: "Live", waiting: "Reconnecting" };

document.title = `Orderflow · ${business.app}`;
document.getElementById("pages").append(...pages.map(({ name, href }) =>
  h("a", { href: new URL(href).pathname, "aria-current": name === business.app && "page" }, name)));
for (const link of document.querySelectorAll("#raw a")) link.href = at(link.getAttribute("href"));

panels.draw();
breaker.watch();

const connection = document.getElementById("connection");
api.follow(at(`/${business.list.name}/events`), {
  status: list.onStatus,
  gap: list.reload,
  state(state) {
    connection.dataset.state = state;
    connection.textContent = CONNECTION[state];
  },
});
if (business.alsoFollows) api.follow(at(business.alsoFollows), { status: refreshSoon, gap: refreshSoon });
