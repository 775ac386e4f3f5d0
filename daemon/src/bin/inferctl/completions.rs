//! `completions`: what a shell needs to complete commands, options, and by asking inferd, names.
//!
//! Commands and options are generated (clap_complete). Names come from `inferctl complete-names`, which a few lines for each
//! shell call: it is quick, and prints nothing where inferd cannot be asked.

mod names;

use clap::{Args, Command, CommandFactory as _, ValueEnum};
use clap_complete::{Shell as Generator, generate};
use inferd_core::Name;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) use names::names;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Shells whose completions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// bash, with bash-completion
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct CompleteNames {
    /// Of what
    #[arg(value_enum)]
    pub(crate) what: What,
    /// Of versions: the model
    pub(crate) model: Option<Name>,
}

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Pipelines
    Pipelines,
    /// Models
    Models,
    /// The versions of a model
    Versions,
}

pub(crate) fn print(what: &Completions, output: &Output) -> Result<(), Failure> {
    output.line(script(what.shell).trim_end())
}

/// The whole script of a shell.
fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => generated(Generator::Bash) + include_str!("completions/names.bash"),
        Shell::Zsh => with_names_in_zsh(&generated(Generator::Zsh)),
        Shell::Fish => generated(Generator::Fish) + include_str!("completions/names.fish"),
    }
}

fn generated(shell: Generator) -> String {
    let mut script = Vec::new();
    generate(shell, &mut shown(), "inferctl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command line without what is hidden: the generators would offer it.
fn shown() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("inferctl").version(env!("CARGO_PKG_VERSION")).args(all.get_arguments()).subcommands(shown)
}

/// In zsh an argument names the function that completes it: those of names get ours in place of the one for files.
fn with_names_in_zsh(script: &str) -> String {
    let mut named = script.to_owned();
    for (argument, function) in
        [("The pipeline", "pipelines"), ("Only this pipeline", "pipelines"), ("The model", "models"), VERSION]
    {
        named = named.replace(&format!("-- {argument}:_default'"), &format!("-- {argument}:_inferctl_{function}'"));
    }
    // The generated script ends by calling or registering itself: functions stand before that.
    let functions = include_str!("completions/names.zsh");
    match named.rfind("\nif [ \"$funcstack[1]\"") {
        Some(end) => named.insert_str(end, &format!("\n{functions}")),
        None => named += functions,
    }
    named
}

/// As its help says, which zsh gets with its backquotes escaped.
const VERSION: (&str, &str) = ("The version, as in `inferctl models`", "versions");

#[cfg(test)]
mod tests;
