//! gdmarket in every interleaving: a rental, one that wants the same item, the item manager, and a payment provider.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemas::gdmarket::state::{Item, Rental};
use schemas::gdmarket::{
    ItemCommandKind, ItemRequest, ItemRequestKind, ItemResult, ItemState, RentalCommand, RentalCommandKind, RentalState,
};
use schemas::payment::PaymentResult;
use schemas::state::Hold;
use topologies::gdmarket::{Command, Config, Event, items, step};
use topologies::saga::settings::Settings;

use crate::support::gdmarket::{bring_back, cancel, cancel_payment, delete, register, rent};
use crate::walk::{Bounds, Business, NONE, NOW, Out, Provider, Timers};
use crate::{CANCELLED, Case, STEP_FAILS, TOO_LATE, TWICE, check};

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| Config::default().saga);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Message {
    Rental(RentalCommandKind),
    Manager(ItemCommandKind),
    Item(ItemRequest),
    /// A request that finds no such item.
    Missed(ItemRequest),
    ItemResult(ItemResult),
    PaymentResult(PaymentResult),
    Deadline(String),
    PaymentRetry(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Market {
    rentals: BTreeMap<String, Rental>,
    item: Option<Item>,
    holds: BTreeMap<String, Hold>,
}

impl Market {
    fn new(registered: bool) -> Market {
        let ItemCommandKind::RegisterItem(registration) = register("reg", "i", 5_000) else {
            unreachable!("it registers")
        };
        let item = if registered { items::register(None, &registration, NOW).0 } else { None };
        Market { rentals: BTreeMap::new(), item, holds: BTreeMap::new() }
    }

    fn saga(&mut self, id: &str, event: &Event, out: &mut Out<Message>) {
        let step = step(self.rentals.remove(id), event, NOW, &SETTINGS).expect("about the rental");
        self.rentals.extend(step.state.map(|rental| (id.to_owned(), rental)));
        for command in step.commands {
            match command {
                Command::Item(request) => out.messages.push(Message::Item(request)),
                Command::Payment(request) => out.payments.push(request),
                Command::Event(_) | Command::Status(_) => {}
            }
        }
    }
}

impl Market {
    /// What item management makes of a request about an item: the item, if it changes.
    fn hold(&mut self, item: Option<Item>, ask: &ItemRequest, out: &mut Out<Message>) -> Option<Item> {
        let known = self.holds.get(&ask.rental_id);
        let (changed, hold) = items::request(item.as_ref(), known, ask, NOW).expect("makes sense");
        let now = changed.as_ref().or(item.as_ref());
        out.messages.push(Message::ItemResult(items::answer(now, &hold, ask, NOW)));
        self.holds.insert(ask.rental_id.clone(), hold);
        changed
    }
}

impl Business for Market {
    type Message = Message;

    fn way(message: &Message) -> u8 {
        match message {
            Message::Rental(_) => 0,
            Message::Manager(_) => 1,
            Message::Item(_) | Message::Missed(_) => 2,
            Message::ItemResult(_) => 3,
            Message::PaymentResult(_) => 4,
            Message::Deadline(_) | Message::PaymentRetry(_) => 5,
        }
    }

    fn instead(&self, message: &Message) -> Option<Message> {
        match message {
            Message::Item(ask) if ask.kind == ItemRequestKind::Lock => Some(Message::Missed(ask.clone())),
            _ => None,
        }
    }

    fn take(&mut self, message: &Message, out: &mut Out<Message>) {
        use schemas::Keyed as _;
        match message {
            Message::Rental(command) => {
                let command = RentalCommand { command: command.clone() };
                self.saga(command.key(), &Event::Command(command.clone()), out);
            }
            Message::ItemResult(result) => self.saga(&result.rental_id, &Event::Item(result.clone()), out),
            Message::PaymentResult(result) => self.saga(&result.correlation_id, &Event::Payment(result.clone()), out),
            Message::Deadline(id) => self.saga(id, &Event::Deadline, out),
            Message::PaymentRetry(id) => self.saga(id, &Event::PaymentRetry, out),
            Message::Manager(command) => {
                let (item, ..) = match command {
                    ItemCommandKind::RegisterItem(command) => items::register(self.item.as_ref(), command, NOW),
                    ItemCommandKind::DeleteItem(command) => items::delete(self.item.as_ref(), command, NOW),
                };
                self.item = item.or(self.item.take());
            }
            Message::Item(ask) => {
                let item = self.hold(self.item.clone(), ask, out);
                self.item = item.or(self.item.take());
            }
            Message::Missed(ask) => drop(self.hold(None, ask, out)),
        }
    }

    fn paid(result: PaymentResult) -> Message {
        Message::PaymentResult(result)
    }

    fn timers(&self) -> Timers<Message> {
        let ids = |due: fn(&Rental) -> Option<i64>| self.rentals.values().filter(move |r| due(r).is_some());
        Timers {
            deadlines: ids(|r| r.deadline_at).map(|r| Message::Deadline(r.rental_id.clone())).collect(),
            retries: ids(|r| r.payment.retry_at).map(|r| Message::PaymentRetry(r.rental_id.clone())).collect(),
        }
    }

    fn check(&self, money: &Provider) {
        let Some(item) = &self.item else { return };
        let holder = item.rental_id.as_ref();
        assert_eq!(holder.is_some(), matches!(item.status, ItemState::Locked | ItemState::Rented), "{item:?}");
        if item.status == ItemState::Rented {
            assert!(holder.is_some_and(|id| money.holds(id)), "an unpaid item is out: {item:?}");
        }
        for (id, rental) in &self.rentals {
            if rental.status == RentalState::Rented && rental.settled_at.is_some() {
                assert_eq!(
                    (item.status, holder),
                    (ItemState::Rented, Some(id)),
                    "two renters hold one item: {rental:?}"
                );
            }
        }
    }

    fn ends(&self, money: &Provider) -> Vec<String> {
        let holder = self.item.as_ref().and_then(|item| item.rental_id.as_ref());
        let mut ends = Vec::new();
        for (id, rental) in &self.rentals {
            let (held, kept) = (money.holds(id), holder == Some(id));
            match rental.status {
                RentalState::Rented => assert!(held && kept, "{rental:?}"),
                RentalState::Returned => assert!(held && !kept, "{rental:?}"),
                RentalState::Cancelled => assert!(!held && !kept, "a payment kept for a cancelled rental: {rental:?}"),
                _ => panic!("it never ends: {rental:?}"),
            }
            assert!(rental.settled_at.is_some(), "{rental:?}");
            ends.push(match rental.reason {
                Some(reason) => format!("{}/{reason}", rental.status),
                None => rental.status.to_string(),
            });
        }
        ends
    }
}

#[test]
fn the_nevers_of_gdmarket_hold_in_every_interleaving() {
    let case = |bounds, registered, first: &[RentalCommandKind], clients: Vec<Message>| Case {
        bounds,
        business: Market::new(registered),
        first: first.iter().cloned().map(Message::Rental).collect(),
        clients,
    };
    let undo = || Message::Rental(cancel("c", "r"));
    let undo_payment = || Message::Rental(cancel_payment("cp", "r"));
    let back = || Message::Rental(bring_back("b", "r"));
    let gone = || Message::Manager(delete("d", "i"));
    let one = [rent("r", "i")];
    let two = [rent("r", "i"), rent("s", "i")];
    let walks = vec![
        case(
            Bounds {
                name: STEP_FAILS,
                ends: &["CANCELLED/NOT_AVAILABLE", "CANCELLED/PAYMENT_DECLINED", "CANCELLED/UNKNOWN_ITEM", "RENTED"],
                failures: 1,
                ..NONE
            },
            true,
            &two,
            vec![],
        ),
        case(
            Bounds { name: TWICE, deadlines: 1, deferrals: 1, twice: true, ..NONE },
            true,
            &one,
            vec![undo_payment(), back()],
        ),
        case(
            Bounds {
                name: TOO_LATE,
                ends: &["CANCELLED/PAYMENT_DECLINED", "CANCELLED/PAYMENT_TIMEOUT", "RENTED"],
                deadlines: 1,
                deferrals: 2,
                any_order: true,
                ..NONE
            },
            true,
            &one,
            vec![],
        ),
        case(Bounds { name: "no such item", deadlines: 1, repeats: 2, ..NONE }, false, &one, vec![undo(), back()]),
        case(
            Bounds { name: CANCELLED, deadlines: 1, deferrals: 2, ..NONE },
            true,
            &one,
            vec![undo(), undo_payment(), back()],
        ),
        case(
            Bounds { name: "messages overtake each other", deadlines: 1, deferrals: 1, any_order: true, ..NONE },
            true,
            &one,
            vec![undo(), back()],
        ),
        case(
            Bounds { name: "overtaking and repeated", deadlines: 1, repeats: 1, any_order: true, ..NONE },
            true,
            &one,
            vec![undo(), back()],
        ),
        case(
            Bounds { name: "any two messages again at any point", deadlines: 1, repeats: 2, ..NONE },
            true,
            &one,
            vec![undo()],
        ),
        case(
            Bounds { name: "voids refused", deadlines: 1, deferrals: 2, repeats: 1, void_refused: true, ..NONE },
            true,
            &one,
            vec![undo_payment()],
        ),
        case(Bounds { name: "the item is deleted at every point", ..NONE }, true, &one, vec![gone(), undo(), back()]),
        case(Bounds { name: "two rentals of one item", deadlines: 1, ..NONE }, true, &two, vec![undo(), back()]),
    ];
    let ends = [
        "CANCELLED/DELETED",
        "CANCELLED/NOT_AVAILABLE",
        "CANCELLED/PAYMENT_CANCELLED",
        "CANCELLED/PAYMENT_DECLINED",
        "CANCELLED/PAYMENT_TIMEOUT",
        "CANCELLED/RENTER",
        "CANCELLED/UNKNOWN_ITEM",
        "RENTED",
        "RETURNED",
    ];
    check("gdmarket", walks, &[STEP_FAILS, TWICE, CANCELLED, TOO_LATE], 100_000, &ends);
}
