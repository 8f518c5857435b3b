//! `godwit config`: the file, and what became of it.

mod diff;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use godwit_config::ConfigErrors;
use godwit_policy::route::Registry;
use godwit_proto::v1::{
    ApplyConfigRequest, ApplyConfigResponse, ConfirmConfigRequest, DiffConfigRequest,
    GetConfigRequest, ListRevisionsRequest, ListRevisionsResponse, ReloadRequest,
    RollbackConfigRequest,
};
use tonic::{Code, Status};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Out, Table, colour_on_stderr, or_dash};
use crate::span;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a file, without a daemon; exit status 1 where it has errors.
    Check(Check),
    /// What applying a file would change: peers, and routes, counted over those
    /// that are there now. Changes nothing.
    Diff {
        /// By default the daemon's own, as it is now.
        file: Option<PathBuf>,
        /// Do not count routes.
        #[arg(long)]
        no_routes: bool,
    },
    /// Check a file, write it to the daemon's own, and apply the difference.
    /// Without a file: have the daemon read its own again, as SIGHUP does.
    Apply {
        file: Option<PathBuf>,
        /// Go back to the configuration before unless `config confirm` comes in
        /// time; also over a restart of the daemon.
        #[arg(long, value_name = "TIME", value_parser = span::parse)]
        confirm_within: Option<Duration>,
        /// Only if this revision is in force.
        #[arg(long, value_name = "N")]
        expect: Option<u64>,
        /// For the history.
        #[arg(
            long,
            short,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        message: String,
    },
    /// Keep what was applied with --confirm-within.
    Confirm,
    /// Apply a former revision again: by its number, else the one before.
    Rollback {
        #[arg(value_name = "N")]
        revision: Option<u64>,
        /// For the history.
        #[arg(
            long,
            short,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        message: String,
    },
    /// Configurations that were applied, newest first.
    History,
    /// What is in force, changes by command written in, secrets hidden; or a
    /// former revision.
    Show {
        #[arg(value_name = "N")]
        revision: Option<u64>,
    },
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
    problems: Vec<Problem>,
    warnings: &'a [String],
}

/// One error, for editors.
#[derive(Debug, serde::Serialize)]
struct Problem {
    title: String,
    label: String,
    help: String,
    /// From 1; absent where it is about the file as a whole.
    line: Option<usize>,
    column: Option<usize>,
}

pub fn check(command: &Check, out: &mut Out) -> Result<(), Failure> {
    let file = &command.file;
    // Policies written in Rust are in the daemon, not here.
    let loaded = godwit_config::load_with(file, &Registry::unchecked());
    if out.json {
        let (errors, found, warnings) = match &loaded {
            Ok(config) => (String::new(), Vec::new(), config.warnings.as_slice()),
            Err(errors) => (errors.render(false), problems(errors), &[][..]),
        };
        out.json(&Checked {
            file,
            ok: loaded.is_ok(),
            errors,
            problems: found,
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

fn problems(errors: &ConfigErrors) -> Vec<Problem> {
    let one = |problem: &godwit_config::Problem| {
        let place = problem.span.as_ref().map(|span| errors.place(span.start));
        Problem {
            title: problem.title.clone(),
            label: problem.label.clone(),
            help: problem.help.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
        }
    };
    errors.problems().iter().map(one).collect()
}

pub async fn run(command: &Command, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        // Needs no daemon.
        Command::Check(command) => check(command, out),
        Command::Diff { file, no_routes } => {
            let (text, file) = read(file.as_deref())?;
            let request = DiffConfigRequest { text, file };
            diff::run(request, !no_routes, client, out).await
        }
        Command::Apply {
            file,
            confirm_within,
            expect,
            message,
        } => {
            let (text, file) = read(file.as_deref())?;
            let request = ApplyConfigRequest {
                text,
                file,
                confirm_within: confirm_within.and_then(|t| t.try_into().ok()),
                why: message.clone(),
                expected_revision: *expect,
            };
            let answer = client.config().apply_config(request).await;
            applied(&answer.map_err(of_file)?.into_inner(), out)
        }
        Command::Confirm => {
            let request = ConfirmConfigRequest {};
            let answer = client.config().confirm_config(request).await?.into_inner();
            if out.json {
                return out.json(&answer);
            }
            out.line(format!("revision {} stays", answer.revision))
        }
        Command::Rollback { revision, message } => {
            let request = RollbackConfigRequest {
                revision: *revision,
                why: message.clone(),
            };
            let answer = client.config().rollback_config(request).await;
            let answer = answer.map_err(of_file)?.into_inner();
            if out.json {
                return out.json(&answer);
            }
            warn(&answer.warnings);
            for change in &answer.changes {
                out.line(change)?;
            }
            out.line(format!(
                "revision {} is in force: revision {} again",
                answer.revision, answer.restored
            ))
        }
        Command::History => {
            let request = ListRevisionsRequest {};
            let answer = client.config().list_revisions(request).await?.into_inner();
            if out.json {
                return out.json(&answer);
            }
            history(&answer, out)
        }
        Command::Show { revision } => {
            let request = GetConfigRequest {
                revision: *revision,
            };
            let answer = client.config().get_config(request).await?.into_inner();
            if out.json {
                return out.json(&answer);
            }
            out.bytes(answer.text.as_bytes())
        }
        Command::Reload => reload(client, out).await,
    }
}

/// The text, and what to call it; both empty where the daemon is to read its own.
fn read(file: Option<&Path>) -> Result<(Option<String>, String), Failure> {
    let Some(file) = file else {
        return Ok((None, String::new()));
    };
    let text = godwit_config::read_text(file).map_err(|e| Failure::Refused(e.to_string()))?;
    Ok((Some(text), file.display().to_string()))
}

/// The command line was right; the file was not.
fn of_file(status: Status) -> Failure {
    match status.code() {
        Code::InvalidArgument => Failure::Refused(status.message().to_owned()),
        _ => status.into(),
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("{warning}");
    }
}

fn applied(answer: &ApplyConfigResponse, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return out.json(answer);
    }
    warn(&answer.warnings);
    if answer.changes.is_empty() {
        out.line("nothing changed of what runs")?;
    }
    for change in &answer.changes {
        out.line(change)?;
    }
    out.line(format!("revision {} is in force", answer.revision))?;
    if let Some(by) = &answer.confirm_by {
        out.line(format!(
            "it goes back in {} unless you `godwit config confirm`",
            span::until(by)
        ))?;
    }
    Ok(())
}

fn history(answer: &ListRevisionsResponse, out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::new(&["", "REVISION", "AGE", "USER", "HOW", "WHY", "CHANGES"]);
    for revision in &answer.revisions {
        let mark = match (revision.current, &answer.confirm_by) {
            (true, Some(_)) => "?",
            (true, None) => "*",
            (false, _) => "",
        };
        let changes = match &revision.changes[..] {
            [] => String::new(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
        };
        let user = revision.uid.map(|uid| uid.to_string());
        table.row([
            mark.into(),
            revision.number.into(),
            span::age(revision.at.as_ref()).into(),
            or_dash(user.unwrap_or_default()).into(),
            revision.how.as_str().into(),
            or_dash(&revision.why).into(),
            or_dash(changes).into(),
        ]);
    }
    out.table(&mut table)?;
    if !answer.rollback_error.is_empty() {
        return out.line(&answer.rollback_error);
    }
    if let Some(by) = &answer.confirm_by {
        out.line(format!(
            "revision {} comes back in {} unless you `godwit config confirm`",
            answer.goes_back_to,
            span::until(by)
        ))?;
    }
    Ok(())
}

async fn reload(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.daemon().reload(ReloadRequest {}).await;
    let answer = answer.map_err(of_file)?.into_inner();
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
