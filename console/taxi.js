// taxi as the console shows it; `fashion-store.js` says what a description has.

import { command, start, told } from "./api.js";
import { time } from "./format.js";

const trip = ({ startLocation, endLocation }) => `${startLocation} → ${endLocation}`;

async function accept({ id, startLocation, endLocation }, driverId) {
  const answer = await command("POST", "/taxi/taxis/accept", { callId: id, startLocation, endLocation, status: "accept", ...(driverId && { driverId }) });
  return told(answer, `The call is yours: ${startLocation} → ${endLocation}.`);
}

export default {
  app: "taxi",
  list: {
    name: "passengers",
    one: "call",
    many: "Calls",
    state: "state",
    begun: "calledAt",
    finds: "Call, place, person",
    search: (call) => [call.startLocation, call.endLocation, call.passengerId, call.driverId],
    empty: "No call yet. Call the first taxi.",
    columns: [
      { name: "Trip", narrow: "first", show: trip },
      { name: "Passenger", show: (call) => call.passengerId || "anonymous" },
      { name: "Driver", narrow: "second", show: (call) => call.driverId || "–" },
    ],
  },
  collections: { opencalls: "asc" },
  states: {
    CALLED: ["Called", "open"],
    LISTED: ["Waits for a driver", "waiting"],
    ASSIGNED: ["Assigned", "done"],
    EXPIRED: ["Expired", "expired"],
  },
  groups: [
    ["open", "Called"],
    ["waiting", "Wait for a driver"],
    ["done", "Assigned"],
    ["expired", "Expired"],
  ],
  reasons: {},
  steps: [
    { name: "Call", state: "CALLED" },
    { name: "List", state: "LISTED" },
    { name: "Driver", state: "ASSIGNED", fails: ["EXPIRED"], by: "drivers" },
  ],
  facts: (call) => [
    ["From", call.startLocation],
    ["To", call.endLocation],
    ["Passenger", call.passengerId || "anonymous"],
    ["Driver", call.driverId || "–"],
  ],
  // What can be done about a call is the drivers' to do, on their list.
  actions: () => [],
  panels: [
    {
      role: "Passenger",
      title: "Call a taxi",
      form: {
        id: "call",
        submit: "Call",
        fields: [
          { name: "startLocation", label: "From", once: true },
          { name: "endLocation", label: "To", once: true },
          { name: "passengerId", label: "Passenger", optional: true },
        ],
        send: async (fields) => {
          const answer = await start("/taxi/passengers", { ...fields, status: "call" });
          return { answer, say: told(answer, "Your call is taken.") };
        },
      },
    },
    {
      role: "Driver",
      title: "Open calls",
      table: {
        id: "opencalls",
        of: "opencalls",
        as: { name: "driverId", label: "Driver", value: "driver-1" },
        head: ["Trip", "Since"],
        empty: "No call waits for a driver.",
        row: (call) => ({
          name: trip(call),
          note: call.passengerId || "anonymous",
          cells: [time(call.calledAt)],
          actions: [{ text: "Accept", run: (driverId) => accept(call, driverId) }],
        }),
      },
    },
  ],
  breaker: {
    name: "taxi-accept",
    of: "Accept breaker",
    open: "The call list is slow, so drivers are not kept waiting: acceptances are taken, and decided once it has recovered.",
  },
};
