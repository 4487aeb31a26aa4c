//! Tries a real registry: registers the public schemas under `<prefix><topic>-value`, resolves each again without
//! registering, reads each back by id, and asks for an id that does not exist.
//! `cargo run --release -p schemas --example registry_check -- http://127.0.0.1:18081/apis/ccompat/v7 [prefix]`

use std::error::Error;
use std::io::Write as _;

use apache_avro::Schema;
use schemas::catalog::{self, Scope};
use schemas::{ConfluentConfig, ConfluentRegistry, Registry, topics};

/// No test registry gets as far as this id.
const NOBODYS_ID: u32 = 900_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: registry_check URL [PREFIX]")?;
    let prefix = args.next().unwrap_or_default();
    let client =
        |register| ConfluentRegistry::new(ConfluentConfig { urls: vec![url.clone()], basic_auth: None, register });
    let (registering, resolving) = (client(true)?, client(false)?);
    let mut out = std::io::stdout().lock();
    for topic in topics::all() {
        let entry = catalog::entry(topic.record).ok_or("a topic without a record")?;
        if entry.scope != Scope::Public {
            continue;
        }
        let subject = topic.subject(&prefix);
        let id = registering.id_for_subject(&subject, entry.name)?;
        let resolved = resolving.id_for_subject(&subject, entry.name)?;
        let text = resolving.schema_by_id(id)?.ok_or("the registry does not know its own id")?;
        let same =
            Schema::parse_str(&text)?.canonical_form() == Schema::parse_str(entry.current().json)?.canonical_form();
        writeln!(out, "{id:>6}  {subject}")?;
        if resolved != id || !same {
            return Err(format!("{subject}: registered as {id}, resolved as {resolved}, same text: {same}").into());
        }
    }
    match resolving.schema_by_id(NOBODYS_ID)? {
        None => writeln!(out, "id {NOBODYS_ID} is unknown, as it should be")?,
        Some(_) => return Err("an id that nobody registered has a schema".into()),
    }
    Ok(())
}
