//! The directory of a [`RocksBackend`](crate::RocksBackend): a file that names the format, and RocksDB's own
//! directory beside it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// Version of everything below the directory: column families, keys, positions.
pub(super) const FORMAT: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_FILE_NEW: &str = "FORMAT.new";
const FORMAT_WORDS: &str = "orderflow state, format ";
const DATABASE: &str = "db";

/// Checks the format of `directory`, or writes it if the directory is new. Answers where RocksDB's files are.
pub(super) fn prepare(directory: &Path) -> Result<PathBuf, Error> {
    let unknown = |found: String| Error::UnknownFormat { path: directory.to_owned(), found, supported: FORMAT };
    fs::create_dir_all(directory).map_err(failed("making the state directory"))?;
    match fs::read_to_string(directory.join(FORMAT_FILE)) {
        Ok(text) => {
            let version = text.strip_prefix(FORMAT_WORDS).map(str::trim_end);
            match version.and_then(|version| version.parse::<u32>().ok()) {
                Some(FORMAT) => {}
                Some(other) => return Err(unknown(format!("has format {other}"))),
                None => return Err(unknown("has a FORMAT file of something else".to_owned())),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(name) = foreign_entry(directory)? {
                return Err(unknown(format!("is not empty ({name}) and has no FORMAT file")));
            }
            write_format(directory).map_err(failed("writing the FORMAT file"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(unknown("has a FORMAT file of something else".to_owned()));
        }
        Err(error) => return Err(failed("reading the FORMAT file")(error)),
    }
    Ok(directory.join(DATABASE))
}

/// The name of something in a directory without format that this release did not leave there. What a mounted volume
/// has by itself does not count.
fn foreign_entry(directory: &Path) -> Result<Option<String>, Error> {
    for entry in fs::read_dir(directory).map_err(failed("listing the state directory"))? {
        let name = entry.map_err(failed("listing the state directory"))?.file_name().to_string_lossy().into_owned();
        if name != FORMAT_FILE_NEW && name != "lost+found" {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Written whole or not at all: a crash between leaves only the new name.
fn write_format(directory: &Path) -> io::Result<()> {
    let new = directory.join(FORMAT_FILE_NEW);
    let mut file = fs::File::create(&new)?;
    file.write_all(format!("{FORMAT_WORDS}{FORMAT}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, directory.join(FORMAT_FILE))?;
    fs::File::open(directory)?.sync_all()
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull { message: error.to_string() },
        _ => Error::Storage { doing, message: error.to_string() },
    }
}
