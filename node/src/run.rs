//! `orderflow run` and `orderflow topics`: one instance of many on Kafka.

use crate::config::Config;

/// Runs.
///
/// # Errors
/// Not yet.
pub async fn run(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("not in this build")
}

/// Topics.
///
/// # Errors
/// Not yet.
pub fn topics(_config: &Config, _dry_run: bool) -> anyhow::Result<()> {
    anyhow::bail!("not in this build")
}
