//! CPU time, from Linux's own files: what a busy machine changes least.

use anyhow::Context as _;

/// Clock ticks per second in `/proc/*/stat`: the same on every Linux that this is measured on.
const TICKS_PER_S: u64 = 100;
/// User and system time are the 14th and 15th field; the ones before the command's closing bracket are not counted here.
const USER_TIME_FIELD: usize = 11;

/// Nanoseconds of this thread so far: the first number of its `schedstat`.
///
/// # Errors
/// When this is no Linux.
pub fn thread_ns() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").context("no schedstat: is this Linux?")?;
    Ok(stat.split(' ').next().context("schedstat is empty")?.parse()?)
}

/// Nanoseconds of all threads of this process so far, ended ones included, in steps of 10 ms.
///
/// # Errors
/// When this is no Linux.
pub fn process_ns() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("no /proc/self/stat: is this Linux?")?;
    let (_, fields) = stat.rsplit_once(") ").context("/proc/self/stat is something else")?;
    let times = fields.split(' ').skip(USER_TIME_FIELD).take(2).map(str::parse::<u64>);
    let ticks: u64 = times.sum::<Result<u64, _>>()?;
    Ok(ticks * (1_000_000_000 / TICKS_PER_S))
}
