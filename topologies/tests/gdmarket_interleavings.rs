//! One rental, item management and a payment provider, walked exhaustively: messages overtake each other, one comes
//! twice, and a cancellation, a return and the deadline come at every point. The "never"s are checked in every state.

#![expect(clippy::print_stdout, reason = "a walk says how far it went")]

mod support;

use std::collections::{BTreeMap, HashSet};

use schemas::gdmarket::state::{Item, Rental};
use schemas::gdmarket::{
    ItemCommandKind, ItemRequest, ItemResult, ItemState, RentalCommand, RentalCommandKind, RentalState,
};
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::state::Hold;
use support::gdmarket::{bring_back, cancel, register, rent};
use topologies::gdmarket::{Command, Config, Event, items, step};

#[derive(Clone, PartialEq, Eq, Hash)]
enum Message {
    Rental(RentalCommandKind),
    Item(ItemRequest),
    ItemResult(ItemResult),
    Payment(PaymentRequest),
    PaymentResult(PaymentResult),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Charge {
    Never,
    Taken,
    Closed,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    rental: Option<Rental>,
    item: Option<Item>,
    hold: Option<Hold>,
    charge: Charge,
    taken: u8,
    returned: u8,
    under_way: Vec<Message>,
    repeats: u8,
    deadline: bool,
}

fn saga(w: &mut World, event: &Event) {
    let step = step(w.rental.take(), event, 1_000, &Config::default().saga).expect("about the rental");
    w.rental = step.state;
    w.under_way.extend(step.commands.into_iter().filter_map(|c| match c {
        Command::Item(request) => Some(Message::Item(request)),
        Command::Payment(request) => Some(Message::Payment(request)),
        Command::Event(_) | Command::Status(_) => None,
    }));
}

/// Takes a message in, with every answer its receiver can give.
fn takes(mut w: World, message: &Message) -> Vec<World> {
    match message {
        Message::Rental(command) => saga(&mut w, &Event::Command(RentalCommand { command: command.clone() })),
        Message::ItemResult(result) => saga(&mut w, &Event::Item(result.clone())),
        Message::PaymentResult(result) => saga(&mut w, &Event::Payment(result.clone())),
        Message::Item(ask) => {
            let (item, hold) = items::request(w.item.as_ref(), w.hold.as_ref(), ask, 1_000).expect("makes sense");
            w.item = item.or(w.item);
            w.under_way.push(Message::ItemResult(items::answer(w.item.as_ref(), &hold, ask, 1_000)));
            w.hold = Some(hold);
        }
        Message::Payment(ask) => {
            let outcomes: &[PaymentOutcome] = match (ask.kind, w.charge) {
                (PaymentRequestKind::Charge, Charge::Never) => &[PaymentOutcome::Approved, PaymentOutcome::Declined],
                (PaymentRequestKind::Charge, Charge::Taken) => &[PaymentOutcome::Approved],
                (PaymentRequestKind::Charge, Charge::Closed) => &[PaymentOutcome::Declined],
                (PaymentRequestKind::Void, _) => &[PaymentOutcome::Voided],
                _ => &[PaymentOutcome::Refunded],
            };
            return outcomes
                .iter()
                .map(|outcome| {
                    let mut w = w.clone();
                    match (outcome, w.charge) {
                        (PaymentOutcome::Approved, Charge::Never) => (w.charge, w.taken) = (Charge::Taken, w.taken + 1),
                        (PaymentOutcome::Approved, _) => {}
                        (PaymentOutcome::Voided | PaymentOutcome::Refunded, Charge::Taken) => {
                            (w.charge, w.returned) = (Charge::Closed, w.returned + 1);
                        }
                        _ => w.charge = Charge::Closed,
                    }
                    w.under_way.push(Message::PaymentResult(support::result(ask, *outcome, 1_000)));
                    w
                })
                .collect();
        }
    }
    vec![w]
}

#[test]
fn the_nevers_hold_in_every_interleaving_of_a_rental() {
    let ItemCommandKind::RegisterItem(registration) = register("reg", "i", 5_000) else { panic!("a registration") };
    let commands = [rent("r", "i"), cancel("c", "r"), bring_back("b", "r")];
    let start = World {
        rental: None,
        item: items::register(None, &registration, 1_000).0,
        hold: None,
        charge: Charge::Never,
        taken: 0,
        returned: 0,
        under_way: commands.into_iter().map(Message::Rental).collect(),
        repeats: 1,
        deadline: true,
    };
    let (mut left, mut seen, mut cases) = (vec![start], HashSet::new(), 0_u64);
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    while let Some(world) = left.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        let held = world.taken - world.returned;
        let out = world.item.as_ref().is_some_and(|item| item.status == ItemState::Rented);
        assert!(world.taken <= 1 && held <= 1, "charged twice");
        assert!(!out || held == 1, "an unpaid item is out: {:?}", world.rental);
        if let (Some(rental), None) = (&world.rental, world.under_way.first()) {
            let item = world.item.as_ref().expect("registered");
            let expected = match rental.status {
                RentalState::Rented => (ItemState::Rented, 1),
                RentalState::Returned => (ItemState::Available, 1),
                RentalState::Cancelled => (ItemState::Available, 0),
                _ => panic!("never ends: {rental:?}"),
            };
            assert_eq!((item.status, held), expected, "{rental:?}");
            assert!(rental.settled_at.is_some());
            *ends.entry(rental.status.symbol()).or_default() += 1;
        }
        for at in 0..world.under_way.len() {
            let mut gone = world.clone();
            let message = gone.under_way.remove(at);
            left.extend(takes(gone, &message));
            if world.repeats > 0 {
                left.extend(takes(World { repeats: world.repeats - 1, ..world.clone() }, &message));
            }
            cases += 1;
        }
        if world.deadline && world.rental.as_ref().is_some_and(|r| r.deadline_at.is_some()) {
            let mut w = World { deadline: false, ..world.clone() };
            saga(&mut w, &Event::Deadline);
            left.push(w);
            cases += 1;
        }
    }
    println!("{cases} cases over {} states, ends {ends:?}", seen.len());
    assert!(cases > 1_000 && ends.len() == 3, "{cases} {ends:?}");
}
