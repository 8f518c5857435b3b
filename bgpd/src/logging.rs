//! Logs: one line an event on standard error, for people or for programs.

use std::io;

use godwit_config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets logging up. `GODWIT_LOG` goes before the level of the file.
pub fn init(config: &LogConfig) -> Result<(), String> {
    let (source, text) = match std::env::var("GODWIT_LOG") {
        Ok(text) => ("GODWIT_LOG", text),
        Err(_) => ("[log] level", config.level.clone()),
    };
    let filter: EnvFilter = text
        .parse()
        .map_err(|e| format!("{source} = \"{text}\": {e}"))?;
    // The journal adds the time itself.
    let timed = std::env::var_os("JOURNAL_STREAM").is_none();
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let set = match (config.format, timed) {
        (LogFormat::Json, _) => base.json().flatten_event(true).finish().try_init(),
        (LogFormat::Text, true) => base.finish().try_init(),
        (LogFormat::Text, false) => base.without_time().finish().try_init(),
    };
    set.map_err(|e| e.to_string())
}
