//! `stead serve`: run a node until it is told to end.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::output::print;
use crate::class::Classes;
use crate::config::{Config, KEYS, Kind};
use crate::{server, telemetry};

/// Run a node until Ctrl-C or SIGTERM.
///
/// Every flag but --config and --print-config is also a key of the file (TOML) and a variable of the
/// environment: --log-format, [log] format, STEAD_LOG_FORMAT. Flags win over the environment, that
/// over the file, that over the defaults. PORT=N changes the port of --listen only.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Read the configuration from this file [environment: STEAD_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration that would be used, as a file, and end
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    keys: KeyFlags,
}

/// A flag for every key of the configuration: what was given, by path.
#[derive(Debug)]
struct KeyFlags(Vec<(&'static str, String)>);

impl Serve {
    pub(super) fn run(self, classes: Classes, environment: &[(String, String)]) -> Result<(), Failure> {
        let named = environment.iter().find(|(name, _)| name == "STEAD_CONFIG");
        let file = self.config.or_else(|| named.map(|(_, path)| PathBuf::from(path)));
        let config = Config::load(file.as_deref(), environment, &self.keys.0)
            .map_err(|problem| Failure::usage(problem.to_string()))?;
        if self.print_config {
            return print(&config.to_toml());
        }
        telemetry::install(&config.log).map_err(|problem| Failure::usage(problem.to_string()))?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        for variable in Config::foreign_variables(environment) {
            tracing::warn!(
                variable,
                "this variable of the environment is no key of the configuration and is ignored"
            );
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|problem| Failure::failed(format!("cannot start: {problem}")))?;
        runtime.block_on(serve(config, classes))
    }
}

async fn serve(config: Config, classes: Classes) -> Result<(), Failure> {
    let failed = |problem: server::Error| Failure::failed(problem.to_string());
    let listen = |kind: SignalKind| signal(kind).map_err(|problem| Failure::failed(problem.to_string()));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let server = server::start(config, classes).await.map_err(failed)?;
    // For who started it and waits for the port. Whether anyone still reads is no reason to end.
    writeln!(std::io::stdout(), "listening on http://{}", server.addr()).ok();
    let told = async move {
        let signal = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal, "ending: no new requests; turns and sockets come to their end");
    };
    server.run_until(told).await.map_err(failed)
}

impl FromArgMatches for KeyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self(Vec::new());
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            if let Some(text) = matches.get_one::<String>(key.path) {
                self.0.push((key.path, text.clone()));
            }
        }
        Ok(())
    }
}

impl Args for KeyFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let defaults = Config::default();
        KEYS.iter().fold(command, |command, key| {
            let doc = key.doc.trim_end_matches('.');
            let help = match defaults.shown(key.path) {
                Some(default) => format!("{doc} [default: {default}]"),
                None => doc.to_owned(),
            };
            let mut arg = Arg::new(key.path).long(key.flag()).action(ArgAction::Set).help(help).value_name(
                match key.kind {
                    Kind::Text => "TEXT",
                    Kind::Integer => "N",
                    Kind::Boolean => "BOOL",
                    Kind::List => "A,B",
                },
            );
            if key.kind == Kind::Boolean {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            if let Some((table, _)) = key.path.split_once('.') {
                arg = arg.help_heading(format!("Table [{table}]"));
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}
