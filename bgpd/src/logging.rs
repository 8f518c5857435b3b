//! Logs: one line an event on standard error, for people or for programs.

use std::io;
use std::sync::OnceLock;

use godwit_config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

type Reload = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// Sets another filter in the subscriber that [`init`] made.
static RELOAD: OnceLock<Reload> = OnceLock::new();

/// Sets logging up. `GODWIT_LOG` goes before the level of the file.
pub fn init(config: &LogConfig) -> Result<(), String> {
    let filter = filter(config)?;
    // The journal adds the time itself.
    let timed = std::env::var_os("JOURNAL_STREAM").is_none();
    let base = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_env_filter(filter);
    let (reload, set): (Reload, _) = match (config.format, timed) {
        (LogFormat::Json, _) => {
            let builder = base.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            (
                Box::new(move |f| handle.reload(f)),
                builder.finish().try_init(),
            )
        }
        (LogFormat::Text, true) => {
            let builder = base.with_filter_reloading();
            let handle = builder.reload_handle();
            (
                Box::new(move |f| handle.reload(f)),
                builder.finish().try_init(),
            )
        }
        (LogFormat::Text, false) => {
            let builder = base.without_time().with_filter_reloading();
            let handle = builder.reload_handle();
            (
                Box::new(move |f| handle.reload(f)),
                builder.finish().try_init(),
            )
        }
    };
    let _ = RELOAD.set(reload);
    set.map_err(|e| e.to_string())
}

/// Takes over the level of a file that was read again.
pub fn set_level(config: &LogConfig) -> Result<(), String> {
    let filter = filter(config)?;
    match RELOAD.get() {
        Some(reload) => reload(filter).map_err(|e| e.to_string()),
        // A test, which logs as it likes.
        None => Ok(()),
    }
}

/// Whether the level of the file can be used.
pub fn check(config: &LogConfig) -> Result<(), String> {
    filter(config).map(drop)
}

fn filter(config: &LogConfig) -> Result<EnvFilter, String> {
    let (source, text) = match std::env::var("GODWIT_LOG") {
        Ok(text) => ("GODWIT_LOG", text),
        Err(_) => ("[log] level", config.level.clone()),
    };
    text.parse()
        .map_err(|e| format!("{source} = \"{text}\": {e}"))
}
