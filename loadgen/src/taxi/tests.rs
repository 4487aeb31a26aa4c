//! The auditor against logs written by hand: an honest one passes, and every planted fault is found by the check that
//! promises to find it.

use schemas::taxi::{
    AcceptCall, AcceptanceRejected, AcceptanceRejection, CallAssigned, CallEvent, CallEventKind, CallListed,
    CallOutcome, CallRequest, CallRequestKind, CallResult, CallState, CallStatus, CallTaxi, DriverCommand,
    PassengerCommand, topics,
};
use serde_json::json;

use super::Taxi;
use crate::audit::testing::{World, assert_found, now_ms, world};

const TOO_LATE: &str = "배차완료된 콜입니다";

fn place(what: &str, id: &str) -> String {
    format!("{what} of {id}")
}

world!(Ranks);

impl Ranks {
    fn call(&mut self, id: &str) {
        let command = CallTaxi {
            command_id: format!("call-{id}"),
            call_id: id.to_owned(),
            passenger_id: place("passenger", id),
            start_location: place("start", id),
            end_location: place("end", id),
            called_at: now_ms(),
        };
        self.put(topics::PASSENGERS.base(), &PassengerCommand { command: command.into() });
    }

    fn list(&mut self, id: &str) {
        let request = CallRequest {
            kind: CallRequestKind::List,
            call_id: id.to_owned(),
            passenger_id: place("passenger", id),
            start_location: place("start", id),
            end_location: place("end", id),
            called_at: 0,
            requested_at: 0,
        };
        self.status(id, CallState::Called, None);
        self.put(topics::CALL_REQUESTS.base(), &request);
        self.event(CallListed {
            call_id: id.to_owned(),
            passenger_id: place("passenger", id),
            start_location: place("start", id),
            end_location: place("end", id),
            listed_at: 0,
        });
        self.result(id, CallOutcome::Listed, None);
        self.status(id, CallState::Listed, None);
    }

    fn accept(&mut self, id: &str, driver: &str) {
        let command = AcceptCall {
            command_id: format!("accept-{id}-{driver}"),
            call_id: id.to_owned(),
            driver_id: driver.to_owned(),
            start_location: String::new(),
            end_location: String::new(),
            accepted_at: 0,
        };
        self.put(topics::ACCEPTANCES.base(), &DriverCommand { command: command.into() });
    }

    fn event(&mut self, event: impl Into<CallEventKind>) {
        self.put(topics::CALL_EVENTS.base(), &CallEvent { event: event.into() });
    }

    fn result(&mut self, id: &str, outcome: CallOutcome, driver: Option<&str>) {
        let driver_id = driver.map(str::to_owned);
        self.put(topics::CALL_RESULTS.base(), &CallResult { outcome, call_id: id.to_owned(), driver_id, at: 0 });
    }

    fn status(&mut self, id: &str, status: CallState, driver: Option<&str>) {
        let version = self.version(id);
        let event = CallStatus {
            call_id: id.to_owned(),
            passenger_id: place("passenger", id),
            driver_id: driver.map(str::to_owned),
            start_location: place("start", id),
            end_location: place("end", id),
            status,
            version,
            at: 0,
        };
        self.put(topics::CALL_STATUS.base(), &event);
    }

    fn assigned(&mut self, id: &str, driver: &str) {
        self.event(CallAssigned {
            call_id: id.to_owned(),
            passenger_id: place("passenger", id),
            driver_id: driver.to_owned(),
            start_location: place("start", id),
            end_location: place("end", id),
            assigned_at: 0,
        });
    }

    fn assign(&mut self, id: &str, driver: &str) {
        self.assigned(id, driver);
        self.result(id, CallOutcome::Assigned, Some(driver));
        self.status(id, CallState::Assigned, Some(driver));
    }

    fn turn_away(&mut self, id: &str, driver: &str, reason: AcceptanceRejection) {
        let message = if reason == AcceptanceRejection::AlreadyAssigned { TOO_LATE } else { "no" };
        self.event(AcceptanceRejected {
            call_id: id.to_owned(),
            driver_id: driver.to_owned(),
            command_id: format!("accept-{id}-{driver}"),
            reason,
            message: message.to_owned(),
            rejected_at: 0,
        });
    }

    fn expire(&mut self, id: &str) {
        self.result(id, CallOutcome::Expired, None);
        self.status(id, CallState::Expired, None);
    }
}

/// A race of three for a call, with a fourth too early and the winner asking again; one that waits; one that expired; a
/// driver of nobody's call; nameless drivers; a duplicate; poison.
fn honest() -> Ranks {
    let mut w = Ranks::default();
    w.call("race");
    w.accept("race", "early");
    w.turn_away("race", "early", AcceptanceRejection::UnknownCall);
    w.list("race");
    for driver in ["first", "second", "third"] {
        w.accept("race", driver);
    }
    w.assign("race", "first");
    w.turn_away("race", "second", AcceptanceRejection::AlreadyAssigned);
    w.turn_away("race", "third", AcceptanceRejection::AlreadyAssigned);
    let again = AcceptCall {
        command_id: "again".to_owned(),
        call_id: "race".to_owned(),
        driver_id: "first".to_owned(),
        start_location: String::new(),
        end_location: String::new(),
        accepted_at: 0,
    };
    w.put(topics::ACCEPTANCES.base(), &DriverCommand { command: again.into() });
    w.accept("race", "second"); // byte for byte

    w.call("waits");
    w.list("waits");

    w.call("expired");
    w.list("expired");
    w.expire("expired");
    w.accept("expired", "late");
    w.turn_away("expired", "late", AcceptanceRejection::Expired);

    w.accept("nobodys", "hopeful");
    w.turn_away("nobodys", "hopeful", AcceptanceRejection::UnknownCall);

    w.raw(topics::PASSENGERS.base(), Some(b"poison".to_vec()), Some(b"{}".to_vec()));
    w.dead_letter(&Taxi, topics::PASSENGERS.base(), 3);

    let shown = |states: [CallState; 3]| {
        let ids = ["race", "waits", "expired"];
        ids.iter().zip(states).map(|(id, state)| json!({"id": id, "state": state.symbol()})).collect::<Vec<_>>()
    };
    for path in ["/passengers", "/calls"] {
        w.collections.insert(path.to_owned(), shown([CallState::Assigned, CallState::Listed, CallState::Expired]));
    }
    for items in w.collections.values_mut() {
        items[0]["driverId"] = json!("first");
    }
    w
}

#[track_caller]
fn finds(check: &str, subject: &str, plant: impl FnOnce(&mut Ranks)) {
    let mut world = honest();
    plant(&mut world);
    assert_found(&world.audit(&Taxi), check, subject);
}

#[test]
fn an_honest_log_has_no_difference_and_is_at_rest() {
    assert_eq!(honest().audit(&Taxi), Vec::<String>::new());
    assert_eq!(honest().open(&Taxi), 0);
}

#[test]
fn what_is_under_way_is_open() {
    let mut w = honest();
    w.accept("waits", "someone");
    assert_eq!(w.open(&Taxi), 1);
    w.assigned("waits", "someone");
    assert_eq!(w.open(&Taxi), 1, "the passenger does not know yet");
    w.call("new");
    assert_eq!(w.open(&Taxi), 2);
}

#[test]
fn a_lost_call_is_found() {
    finds("no call lost", "call silent", |w| w.call("silent"));
    finds("no call lost", "call waits", |w| w.remove(topics::CALL_REQUESTS.base(), 1));
    finds("no call lost", "call waits", |w| w.remove(topics::CALL_RESULTS.base(), 2));
    finds("no call lost", "call waits", |w| w.list("waits"));
}

#[test]
fn a_second_driver_is_found() {
    finds("one driver", "call race", |w| w.assigned("race", "second"));
    finds("one driver", "call race", |w| w.result("race", CallOutcome::Assigned, Some("second")));
    finds("one driver", "call waits", |w| w.assigned("waits", "nobody asked"));
    finds("one driver", "call race", |w| {
        let won = w.position(topics::CALL_EVENTS.base(), 2);
        let mut other = honest();
        other.assigned("race", "second");
        w.log[won].value = other.log.last().unwrap().value.clone();
    });
}

#[test]
fn a_driver_wrongly_told_is_found() {
    // Not told at all; told the wrong reason; turned away from an open call; assigned after it expired.
    finds("one driver", "call race", |w| w.remove(topics::CALL_EVENTS.base(), 4));
    finds("one driver", "call race", |w| {
        w.accept("race", "fourth");
        w.turn_away("race", "fourth", AcceptanceRejection::Expired);
    });
    finds("one driver", "call waits", |w| {
        w.accept("waits", "someone");
        w.turn_away("waits", "someone", AcceptanceRejection::AlreadyAssigned);
    });
    finds("one driver", "call expired", |w| {
        w.accept("expired", "later");
        w.assign("expired", "later");
    });
    finds("one driver", "call race", |w| w.expire("race"));
    finds("one driver", "call waits", |w| {
        w.accept("waits", "someone");
        w.turn_away("waits", "someone", AcceptanceRejection::Expired);
    });
}

#[test]
fn a_passenger_who_does_not_see_it_is_found() {
    finds("status history", "call race", |w| w.remove(topics::CALL_STATUS.base(), 2));
    finds("status history", "call race", |w| w.status("race", CallState::Listed, Some("first")));
    finds("the passenger sees it", "call race", |w| w.status("race", CallState::Assigned, Some("second")));
    finds("status history", "call race", |w| {
        w.versions.insert("race".to_owned(), 7);
        w.status("race", CallState::Assigned, Some("first"));
    });
    for check in ["GET /passengers", "GET /calls"] {
        let path = &check[4..];
        finds(check, "call race", |w| w.collections.get_mut(path).unwrap()[0]["state"] = json!("LISTED"));
        finds(check, "call race", |w| w.collections.get_mut(path).unwrap()[0]["driverId"] = json!("second"));
        finds(check, "call race", |w| drop(w.collections.get_mut(path).unwrap().remove(0)));
        finds(check, "call ghost", |w| {
            w.collections.get_mut(path).unwrap().push(json!({"id": "ghost", "state": "CALLED"}));
        });
    }
}

#[test]
fn what_nobody_asked_for_is_found() {
    finds("nothing invented", "call ghost", |w| w.list("ghost"));
    finds("nothing invented", "call waits", |w| {
        w.event(CallListed {
            call_id: "waits".to_owned(),
            passenger_id: place("passenger", "waits"),
            start_location: "elsewhere".to_owned(),
            end_location: place("end", "waits"),
            listed_at: 0,
        });
    });
    finds("nothing invented", "taxi.call-events/0@9", |w| {
        w.raw(topics::CALL_EVENTS.base(), Some(b"x".to_vec()), Some(vec![0, 0, 0, 0, 1]));
    });
    finds("dead letters", "taxi.passengers/0@4", |w| {
        w.raw(topics::PASSENGERS.base(), None, Some(b"{}".to_vec()));
    });
    finds("dead letters", "taxi.acceptances/0@0", |w| w.dead_letter(&Taxi, topics::ACCEPTANCES.base(), 0));
}
