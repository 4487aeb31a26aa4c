//! gdmarket's resources: items, the manager's view of them, rentals and their payments.

mod commands;
mod wire;

use std::sync::Arc;

use axum::routing::get;
use schemas::Topic;
use schemas::gdmarket::state::{Item, ItemView, Rental};
use schemas::gdmarket::{ItemCommand, ItemStatus, RentalCommand, RentalState, RentalStatus, topics};
use schemas::state::Payment;
use serde::Serialize;

use crate::StartError;
use crate::gateway::wire::At;
use crate::gateway::{
    Business, Commands, Hub, Judged, Profile, Resource, Route, Start, Streamed, Table, Until, all_events, collection,
    command, events_of, item,
};

/// Stores, command topics and events.
pub(crate) struct Gdmarket {
    items: Table<Item>,
    item_views: Table<ItemView>,
    rentals: Table<Rental>,
    payments: Table<Payment>,
    item_commands: Commands<ItemCommand>,
    rental_commands: Commands<RentalCommand>,
    rental_status: Arc<Hub>,
    item_status: Arc<Hub>,
}

impl Business for Gdmarket {
    const APP: &'static str = "gdmarket";
    const PROFILES: &'static [Profile] = &[
        Profile { name: "items", item: "item", fields: &["id", "name", "fee", "status", "rentalId"] },
        Profile {
            name: "itemviews",
            item: "itemview",
            fields: &["id", "name", "fee", "status", "rentalId", "rentals", "lockedAt", "rentedAt", "availableAt"],
        },
        Profile {
            name: "rentals",
            item: "rental",
            fields: &["id", "itemId", "renterId", "fee", "status", "reason", "history"],
        },
        Profile {
            name: "payments",
            item: "payment",
            fields: &["id", "rentalId", "price", "status", "attempt", "deferred"],
        },
    ];

    fn start(start: &Start<'_>) -> Result<Self, StartError> {
        Ok(Gdmarket {
            items: start.table("items")?,
            item_views: start.table("item-views")?,
            rentals: start.table("rentals")?,
            payments: start.table("payments")?,
            item_commands: start.commands(&topics::ITEMS, "item-commands")?,
            rental_commands: start.commands(&topics::RENTALS, "commands")?,
            rental_status: start.hub::<Self, Changes>()?,
            item_status: start.hub::<Self, ItemChanges>()?,
        })
    }

    fn routes() -> Vec<Route<Self>> {
        vec![
            ("/items", get(collection::<Self, Items>).post(commands::register_item)),
            ("/items/events", get(all_events::<Self, ItemChanges>)),
            ("/items/{id}", get(item::<Self, Items>).delete(commands::delete_item)),
            ("/items/{id}/events", get(events_of::<Self, ItemChanges>)),
            ("/items/{id}/commands/{command}", get(command::<Self, Items>)),
            ("/itemviews", get(collection::<Self, ItemViews>)),
            ("/itemviews/{id}", get(item::<Self, ItemViews>)),
            ("/rentals", get(collection::<Self, Rentals>).post(commands::request_rental)),
            ("/rentals/events", get(all_events::<Self, Changes>)),
            (
                "/rentals/{id}",
                get(item::<Self, Rentals>)
                    .delete(commands::cancel_rental)
                    .patch(commands::update_rental)
                    .put(commands::update_rental),
            ),
            ("/rentals/{id}/events", get(events_of::<Self, Changes>)),
            ("/rentals/{id}/commands/{command}", get(command::<Self, Rentals>)),
            ("/payments", get(collection::<Self, Payments>)),
            ("/payments/{id}", get(item::<Self, Payments>).delete(commands::cancel_payment)),
        ]
    }
}

/// `/items`.
struct Items;
impl Resource<Gdmarket> for Items {
    type Value = Item;
    const NAME: &'static str = "items";
    fn table(market: &Gdmarket) -> &Table<Item> {
        &market.items
    }
    fn view(item: &Item, at: At<'_>) -> impl Serialize {
        wire::ItemView::new(item, at)
    }
}

impl Judged<Gdmarket> for Items {
    type Command = ItemCommand;
    const CREATES: &'static [&'static str] = &["RegisterItem"];
    fn commands(market: &Gdmarket) -> &Commands<ItemCommand> {
        &market.item_commands
    }
}

/// `/itemviews`: the item manager's one view of all items.
struct ItemViews;
impl Resource<Gdmarket> for ItemViews {
    type Value = ItemView;
    const NAME: &'static str = "itemviews";
    fn table(market: &Gdmarket) -> &Table<ItemView> {
        &market.item_views
    }
    fn view(row: &ItemView, at: At<'_>) -> impl Serialize {
        wire::RowView::new(row, at)
    }
}

/// `/rentals`.
struct Rentals;

/// The payment has an outcome, be it that it is put off.
const PAYMENT: Until<Rental> =
    Until::new("payment", |rental| !matches!(rental.status, RentalState::Requested | RentalState::ItemLocked));
/// Nothing of the saga is under way any more.
const SETTLED: Until<Rental> = Until::new("settled", |rental| rental.settled_at.is_some());

impl Resource<Gdmarket> for Rentals {
    type Value = Rental;
    const NAME: &'static str = "rentals";
    const UNTIL: &'static [Until<Rental>] = &[PAYMENT, SETTLED];
    fn table(market: &Gdmarket) -> &Table<Rental> {
        &market.rentals
    }
    fn view(rental: &Rental, at: At<'_>) -> impl Serialize {
        wire::RentalView::new(rental, at)
    }
    fn retry_at(rental: &Rental) -> Option<i64> {
        rental.payment.retry_at.filter(|_| rental.status == RentalState::PaymentDeferred)
    }
}

impl Judged<Gdmarket> for Rentals {
    type Command = RentalCommand;
    const CREATES: &'static [&'static str] = &["RequestRental"];
    fn commands(market: &Gdmarket) -> &Commands<RentalCommand> {
        &market.rental_commands
    }
}

/// `/payments`: of rentals whose payment was asked for.
struct Payments;
impl Resource<Gdmarket> for Payments {
    type Value = Payment;
    const NAME: &'static str = "payments";
    fn table(market: &Gdmarket) -> &Table<Payment> {
        &market.payments
    }
    fn view(payment: &Payment, at: At<'_>) -> impl Serialize {
        wire::PaymentView::new(payment, at)
    }
}

/// `/rentals/events`: every change of every rental, for its renter.
struct Changes;
impl Streamed<Gdmarket> for Changes {
    type Record = RentalStatus;
    const TOPIC: Topic<RentalStatus> = topics::RENTAL_STATUS;
    const OWNER: &'static str = "renterId";
    fn hub(market: &Gdmarket) -> &Arc<Hub> {
        &market.rental_status
    }
    fn owner(status: &RentalStatus) -> Option<&str> {
        Some(&status.renter_id)
    }
    fn view(status: &RentalStatus) -> impl Serialize {
        wire::StatusView::from(status)
    }
}

/// `/items/events`: every change of every item, for the item manager; narrowed to what one rental holds.
struct ItemChanges;
impl Streamed<Gdmarket> for ItemChanges {
    type Record = ItemStatus;
    const TOPIC: Topic<ItemStatus> = topics::ITEM_STATUS;
    const OWNER: &'static str = "rentalId";
    fn hub(market: &Gdmarket) -> &Arc<Hub> {
        &market.item_status
    }
    fn owner(status: &ItemStatus) -> Option<&str> {
        Some(status.rental_id.as_deref().unwrap_or_default())
    }
    fn view(status: &ItemStatus) -> impl Serialize {
        wire::ItemStatusView::from(status)
    }
}
