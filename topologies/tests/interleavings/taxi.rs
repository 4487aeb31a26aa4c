//! taxi in every interleaving: a call, two drivers, and the call's deadline.

use std::sync::LazyLock;

use schemas::payment::PaymentResult;
use schemas::state::Verdict;
use schemas::taxi::state::{Call, Passenger};
use schemas::taxi::{CallRequest, CallResult, CallState};
use topologies::taxi::{Command, Config, Event, ListCommand, ListEvent, Rules, list_step, step};

use crate::support::taxi::{accept, call};
use crate::walk::{Bounds, Business, NONE, NOW, Out, Provider, Timers};
use crate::{Case, TOO_LATE, TWICE, check};

static RULES: LazyLock<Rules> = LazyLock::new(|| Config::default().rules());

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Message {
    Call,
    Accept(&'static str),
    Request(CallRequest),
    Result(CallResult),
    Deadline,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Taxis {
    passenger: Option<Passenger>,
    call: Option<Call>,
    /// Drivers who were told yes.
    winners: Vec<String>,
}

impl Taxis {
    fn saga(&mut self, event: &Event, out: &mut Out<Message>) {
        let step = step(self.passenger.take(), event, NOW, &RULES).expect("about the call");
        self.passenger = step.state;
        for command in step.commands {
            match command {
                Command::List(request) => out.messages.push(Message::Request(request)),
                Command::Status(_) => {}
            }
        }
    }

    /// Whether the list said yes to a command.
    fn list(&mut self, event: &ListEvent, out: &mut Out<Message>) -> bool {
        let step = list_step(self.call.take(), event, NOW).expect("about the call");
        self.call = step.state;
        for command in step.commands {
            match command {
                ListCommand::Answer(result) => out.messages.push(Message::Result(result)),
                ListCommand::Tell(_) => {}
            }
        }
        step.verdict.is_some_and(|(verdict, _)| verdict == Verdict::Accepted)
    }
}

impl Business for Taxis {
    type Message = Message;

    fn way(message: &Message) -> u8 {
        match message {
            Message::Call => 0,
            Message::Accept(_) => 1,
            Message::Request(_) => 2,
            Message::Result(_) => 3,
            Message::Deadline => 4,
        }
    }

    fn take(&mut self, message: &Message, out: &mut Out<Message>) {
        match message {
            Message::Call => self.saga(&Event::Command(call("c")), out),
            Message::Result(result) => self.saga(&Event::Result(result.clone()), out),
            Message::Request(request) => drop(self.list(&ListEvent::Request(request.clone()), out)),
            Message::Deadline => drop(self.list(&ListEvent::Deadline, out)),
            Message::Accept(driver) => {
                if self.list(&ListEvent::Command(accept(driver, "c", driver)), out) {
                    self.winners.push((*driver).to_owned());
                }
            }
        }
    }

    fn paid(_result: PaymentResult) -> Message {
        unreachable!("a taxi is paid in cash")
    }

    fn timers(&self) -> Timers<Message> {
        let open = self.call.as_ref().filter(|call| call.decided_at.is_none());
        Timers { deadlines: open.map(|_| Message::Deadline).into_iter().collect(), retries: vec![] }
    }

    fn check(&self, _money: &Provider) {
        assert!(self.winners.len() <= 1, "two drivers on one call: {:?}", self.winners);
        let has = self.call.as_ref().and_then(|call| call.driver_id.as_ref());
        assert_eq!(has, self.winners.first(), "the driver who was told yes has the call, and no other");
    }

    fn ends(&self, _money: &Provider) -> Vec<String> {
        let passenger = self.passenger.as_ref().expect("called");
        let call = self.call.as_ref().expect("a call lost");
        assert_eq!((passenger.status, &passenger.driver_id), (call.status, &call.driver_id), "seen as it is");
        assert_eq!(passenger.settled_at.is_some(), call.status != CallState::Listed);
        vec![passenger.status.to_string()]
    }
}

#[test]
fn the_nevers_of_taxi_hold_in_every_interleaving() {
    let case = |bounds, clients: &[&'static str]| Case {
        bounds,
        business: Taxis::default(),
        first: vec![Message::Call],
        clients: clients.iter().map(|driver| Message::Accept(driver)).collect(),
    };
    let walks = vec![
        case(Bounds { name: TOO_LATE, deadlines: 1, ..NONE }, &["d1", "d2", "d3"]),
        case(Bounds { name: TWICE, deadlines: 1, twice: true, any_order: true, ..NONE }, &["d1", "d2", "d3"]),
        case(Bounds { name: "any three messages again at any point", deadlines: 1, repeats: 3, ..NONE }, &["d1", "d2"]),
        case(
            Bounds { name: "overtaking and repeated", deadlines: 1, repeats: 3, any_order: true, ..NONE },
            &["d1", "d2"],
        ),
    ];
    // No step of a call can fail, and nobody can cancel one: a driver has it, or its time is up.
    check("taxi", walks, &[TWICE, TOO_LATE], 50_000, &["ASSIGNED", "EXPIRED", "LISTED"]);
}
