//! `godwit config`: the file.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use godwit_policy::route::Registry;
use godwit_proto::v1::ReloadRequest;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Out, colour_on_stderr};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a file, without a daemon; exit status 1 where it has errors.
    Check(Check),
    /// Have the daemon read its file again and apply the difference, as SIGHUP
    /// does. A file with an error changes nothing.
    Reload,
}

#[derive(Debug, clap::Args)]
pub struct Check {
    #[arg(value_name = "FILE", default_value = "/etc/godwit/godwit.toml")]
    file: PathBuf,
}

/// What `-o json` tells of a file.
#[derive(Debug, serde::Serialize)]
struct Checked<'a> {
    file: &'a Path,
    ok: bool,
    /// As people see them: the text underlined, what to write instead.
    errors: String,
    warnings: &'a [String],
}

pub fn check(command: &Check, out: &mut Out) -> Result<(), Failure> {
    let file = &command.file;
    // Policies written in Rust are in the daemon, not here.
    let loaded = godwit_config::load_with(file, &Registry::unchecked());
    if out.json {
        let (errors, warnings) = match &loaded {
            Ok(config) => (String::new(), config.warnings.as_slice()),
            Err(errors) => (errors.render(false), &[][..]),
        };
        out.json(&Checked {
            file,
            ok: loaded.is_ok(),
            errors,
            warnings,
        })?;
        out.flush()?;
        return loaded.map(drop).map_err(|_| Failure::No);
    }
    match loaded {
        Ok(config) => {
            for warning in &config.warnings {
                out.line(warning)?;
            }
            out.line(format!("{} is good", file.display()))
        }
        Err(errors) => {
            out.flush()?;
            eprintln!("{}", errors.render(colour_on_stderr()));
            Err(Failure::No)
        }
    }
}

pub async fn reload(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = match client.daemon().reload(ReloadRequest {}).await {
        Ok(answer) => answer.into_inner(),
        // The command line was right; the file was not.
        Err(status) if status.code() == tonic::Code::InvalidArgument => {
            return Err(Failure::Refused(status.message().to_owned()));
        }
        Err(status) => return Err(status.into()),
    };
    if out.json {
        return out.json(&answer);
    }
    if answer.changes.is_empty() {
        return out.line("nothing changed");
    }
    for change in &answer.changes {
        out.line(change)?;
    }
    Ok(())
}
