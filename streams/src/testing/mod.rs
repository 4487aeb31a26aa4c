//! Test tools: a log in memory with transactions, groups and fencing ([`SimLog`]), and a driver that runs a topology on it
//! with the production worker ([`TestDriver`]).

mod driver;
mod sim_log;

pub use driver::{OutRecord, TestDriver};
pub use sim_log::{Call, Fault, SimCluster, SimLog, SimRecord};
