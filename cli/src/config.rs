//! `godwit config`: the file.

use std::path::PathBuf;

use clap::Subcommand;
use godwit_proto::v1::ReloadRequest;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Out;

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

pub fn check(command: &Check, _out: &mut Out) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&command.file)?;
    Err(Failure::Refused(format!("{} bytes unchecked", text.len())))
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
