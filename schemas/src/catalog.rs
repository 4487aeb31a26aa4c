//! Every schema this release knows, each version with its own id for ever.
//!
//! An id is never reused and the text behind it never changes: changelogs and topics hold it for years. Ids of a
//! version live here even when a registry is used, because data written without one stays readable.
//!
//! | ids | for |
//! |---|---|
//! | 1..1000 | shared public records (payment) |
//! | 1000.. by thousand | public records of fashion-store, gdmarket, taxi, ebook-rental |
//! | 1,000,000,000 up, by the same thousands | internal topics (…000 to …499) and stored state (…500 to …999) |

/// First id of internal and stored schemas, far above what any registry hands out.
pub const RESERVED_FROM: u32 = 1_000_000_000;

/// Who reads what is written with a schema; decides where its id comes from and how freely it may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read or written by others: id from the registry when there is one; new versions are BACKWARD compatible.
    Public,
    /// Between our own processors: id always from here; FULL compatible, so that a release can be taken back.
    Internal,
    /// In state stores and their changelogs: id always from here; FULL compatible.
    Stored,
}

/// One version of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The id this version is framed with where no registry gives one.
    pub id: u32,
    /// The schema's text as released.
    pub json: &'static str,
}

/// One record and all its versions, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Full Avro name, as [`AvroRecord::NAME`](crate::AvroRecord::NAME).
    pub name: &'static str,
    /// Path of the `.avsc` under `avro/`, without its ending; releases are `history/<path>.v<n>.avsc`.
    pub path: &'static str,
    /// Who reads it.
    pub scope: Scope,
    /// Every released version; the last is current. Never empty.
    pub versions: &'static [Version],
}

impl Entry {
    /// The version that is written today.
    pub fn current(&self) -> &Version {
        self.versions.last().expect("an entry has at least one version (a test checks every one)")
    }
}

/// The entry of a record, by its full name.
pub fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// The entry and version that an id stands for.
pub fn by_id(id: u32) -> Option<(&'static Entry, &'static Version)> {
    ENTRIES.iter().find_map(|entry| entry.versions.iter().find(|v| v.id == id).map(|version| (entry, version)))
}

/// `name, path, scope, [version => id, …]`: the texts are the released copies under `avro/history`.
macro_rules! entries {
    ( $( $name:literal, $path:literal, $scope:ident, [ $( $version:literal => $id:literal ),+ ]; )+ ) => {
        /// All records.
        pub const ENTRIES: &[Entry] = &[ $(
            Entry {
                name: $name,
                path: $path,
                scope: Scope::$scope,
                versions: &[ $(
                    Version {
                        id: $id,
                        json: include_str!(concat!(
                            env!("CARGO_MANIFEST_DIR"), "/avro/history/", $path, ".v", $version, ".avsc"
                        )),
                    },
                )+ ],
            },
        )+ ];
    };
}

entries! {
    "orderflow.common.PaymentRequest", "common/PaymentRequest", Public, [1 => 1];
    "orderflow.common.PaymentResult", "common/PaymentResult", Public, [1 => 2];

    "orderflow.common.Payment", "common/state/Payment", Stored, [1 => 1_000_000_500];
    "orderflow.common.CommandOutcome", "common/state/CommandOutcome", Stored, [1 => 1_000_000_501];
    "orderflow.common.Hold", "common/state/Hold", Stored, [1 => 1_000_000_502];

    "orderflow.fashion.ProductCommand", "fashion-store/ProductCommand", Public, [1 => 1_000];
    "orderflow.fashion.OrderCommand", "fashion-store/OrderCommand", Public, [1 => 1_001];
    "orderflow.fashion.DeliveryEvent", "fashion-store/DeliveryEvent", Public, [1 => 1_002];
    "orderflow.fashion.OrderCancelled", "fashion-store/OrderCancelled", Public, [1 => 1_003];
    "orderflow.fashion.OrderStatus", "fashion-store/OrderStatus", Public, [1 => 1_004];
    "orderflow.fashion.StockRequest", "fashion-store/StockRequest", Internal, [1 => 1_000_001_000];
    "orderflow.fashion.StockResult", "fashion-store/StockResult", Internal, [1 => 1_000_001_001];
    "orderflow.fashion.DeliveryRequest", "fashion-store/DeliveryRequest", Internal, [1 => 1_000_001_002];
    "orderflow.fashion.Order", "fashion-store/state/Order", Stored, [1 => 1_000_001_500];
    "orderflow.fashion.Dashboard", "fashion-store/state/Dashboard", Stored, [1 => 1_000_001_501];
    "orderflow.fashion.Product", "fashion-store/state/Product", Stored, [1 => 1_000_001_502];
    "orderflow.fashion.Reservation", "fashion-store/state/Reservation", Stored, [1 => 1_000_001_503];
    "orderflow.fashion.Delivery", "fashion-store/state/Delivery", Stored, [1 => 1_000_001_504];

    "orderflow.gdmarket.ItemCommand", "gdmarket/ItemCommand", Public, [1 => 2_000];
    "orderflow.gdmarket.RentalCommand", "gdmarket/RentalCommand", Public, [1 => 2_001];
    "orderflow.gdmarket.RentalEvent", "gdmarket/RentalEvent", Public, [1 => 2_002];
    "orderflow.gdmarket.RentalStatus", "gdmarket/RentalStatus", Public, [1 => 2_003];
    "orderflow.gdmarket.ItemStatus", "gdmarket/ItemStatus", Public, [1 => 2_004];
    "orderflow.gdmarket.ItemRequest", "gdmarket/ItemRequest", Internal, [1 => 1_000_002_000];
    "orderflow.gdmarket.ItemResult", "gdmarket/ItemResult", Internal, [1 => 1_000_002_001];
    "orderflow.gdmarket.Rental", "gdmarket/state/Rental", Stored, [1 => 1_000_002_500];
    "orderflow.gdmarket.Item", "gdmarket/state/Item", Stored, [1 => 1_000_002_501];
    "orderflow.gdmarket.ItemView", "gdmarket/state/ItemView", Stored, [1 => 1_000_002_502];

    "orderflow.taxi.PassengerCommand", "taxi/PassengerCommand", Public, [1 => 3_000];
    "orderflow.taxi.DriverCommand", "taxi/DriverCommand", Public, [1 => 3_001];
    "orderflow.taxi.CallEvent", "taxi/CallEvent", Public, [1 => 3_002, 2 => 3_004];
    "orderflow.taxi.CallStatus", "taxi/CallStatus", Public, [1 => 3_003, 2 => 3_005];
    "orderflow.taxi.CallRequest", "taxi/CallRequest", Internal, [1 => 1_000_003_000];
    "orderflow.taxi.CallResult", "taxi/CallResult", Internal, [1 => 1_000_003_001, 2 => 1_000_003_002];
    "orderflow.taxi.Passenger", "taxi/state/Passenger", Stored, [1 => 1_000_003_500];
    "orderflow.taxi.Call", "taxi/state/Call", Stored, [1 => 1_000_003_501];

    "orderflow.ebook.BookCommand", "ebook-rental/BookCommand", Public, [1 => 4_000];
    "orderflow.ebook.RentCommand", "ebook-rental/RentCommand", Public, [1 => 4_001];
    "orderflow.ebook.DecisionCommand", "ebook-rental/DecisionCommand", Public, [1 => 4_002];
    "orderflow.ebook.RentEvent", "ebook-rental/RentEvent", Public, [1 => 4_003];
    "orderflow.ebook.RentStatus", "ebook-rental/RentStatus", Public, [1 => 4_004];
    "orderflow.ebook.BookRequest", "ebook-rental/BookRequest", Internal, [1 => 1_000_004_000];
    "orderflow.ebook.BookResult", "ebook-rental/BookResult", Internal, [1 => 1_000_004_001];
    "orderflow.ebook.ApprovalRequest", "ebook-rental/ApprovalRequest", Internal, [1 => 1_000_004_002];
    "orderflow.ebook.ApprovalResult", "ebook-rental/ApprovalResult", Internal, [1 => 1_000_004_003];
    "orderflow.ebook.Rent", "ebook-rental/state/Rent", Stored, [1 => 1_000_004_500];
    "orderflow.ebook.Book", "ebook-rental/state/Book", Stored, [1 => 1_000_004_501];
    "orderflow.ebook.Approval", "ebook-rental/state/Approval", Stored, [1 => 1_000_004_502];
    "orderflow.ebook.Dashboard", "ebook-rental/state/Dashboard", Stored, [1 => 1_000_004_503];
}
