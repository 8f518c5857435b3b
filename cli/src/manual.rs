//! Completions and manual pages, from the one definition in `args`.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::failure::Failure;
use crate::output::Out;

#[derive(Debug, clap::Args)]
pub struct Completions {
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct Man {
    /// Write a page for each command there.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub fn completions(command: &Completions, out: &mut Out) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Args::command(), "godwit", &mut script);
    out.bytes(&script)
}

pub fn man(command: &Man, out: &mut Out) -> Result<(), Failure> {
    match &command.directory {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            Ok(clap_mangen::generate_to(Args::command(), directory)?)
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page)?;
            out.bytes(&page)
        }
    }
}
