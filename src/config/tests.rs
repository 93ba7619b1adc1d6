//! The configuration, tested on tables: never on the process's environment.

use std::fmt::Write as _;

use super::{Config, Error, KEYS, keys};
use crate::class::change_request::Policy;

fn pairs(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Error> {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let path = directory.path().join("stead.toml");
    std::fs::write(&path, file).expect("the file is written");
    let flags: Vec<_> = flags.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    Config::load(Some(&path), &pairs(variables), &flags)
}

/// The error of a configuration, without the path of the temporary file.
fn complaint(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let text = load(file, variables, flags).expect_err("this configuration is wrong").to_string();
    match (text.find("in the configuration "), text.find("stead.toml")) {
        (Some(0), Some(end)) => format!("FILE{}", text.get(end + "stead.toml".len()..).unwrap_or_default()),
        _ => text,
    }
}

#[test]
fn later_sources_win_key_by_key() {
    let file = "zone = \"file\"\nshards = 4\n[log]\nformat = \"json\"\nfilter = \"warn\"";
    let environment = [("STEAD_ZONE", "environment"), ("STEAD_LOG_FILTER", "debug")];
    let config = load(file, &environment, &[("zone", "flag")]).expect("it is right");
    assert_eq!(config.zone.as_deref(), Some("flag"));
    assert_eq!(config.log.filter, "debug");
    assert_eq!(config.log.format, super::LogFormat::Json);
    assert_eq!(config.shards, 4);
    assert_eq!(config.replicas, 3);
    let nothing = Config::load(None, &[], &[]).expect("the defaults are right");
    assert_eq!(nothing, Config::default());
}

#[test]
fn the_environment_is_read_by_kind() {
    let environment = [
        ("STEAD_ALLOWED_HOSTS", "a.example, b.example"),
        ("STEAD_TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ("STEAD_INSECURE", "1"),
        ("STEAD_LIMITS_SOCKETS", "7"),
        ("HOME", "/"),
    ];
    let config = load("", &environment, &[]).expect("it is right");
    assert_eq!(config.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(
        config.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "::1/128"]
    );
    assert!(config.insecure);
    assert_eq!(config.limits.sockets, 7);
}

#[test]
fn port_changes_the_port_only() {
    let listen = |file, variables: &[_], flags: &[_]| {
        load(file, variables, flags).expect("it is right").listen.to_string()
    };
    assert_eq!(listen("", &[("PORT", "3000")], &[]), "127.0.0.1:3000");
    assert_eq!(listen("listen = \"[::1]:1\"", &[("PORT", "3000")], &[]), "[::1]:3000");
    assert_eq!(listen("", &[("PORT", "3000"), ("STEAD_LISTEN", "127.0.0.2:1")], &[]), "127.0.0.2:3000");
    assert_eq!(listen("", &[("PORT", "3000")], &[("listen", "127.0.0.1:5")]), "127.0.0.1:5");
    assert_eq!(
        complaint("", &[("PORT", "http")], &[]),
        "PORT: `http` is no port: give a number from 0 to 65535"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let mut said = String::new();
    for (file, variables, flags) in [
        ("datta = \"x\"", &[][..], &[][..]),
        ("[limits]\nsocket = 5", &[], &[]),
        ("shards = \"many\"", &[], &[]),
        ("[mcpServers.x]\nurl = \"y\"", &[], &[]),
        ("", &[("STEAD_SHARDS", "many")], &[]),
        ("", &[("STEAD_SHARDS", "-1")], &[]),
        ("", &[("STEAD_LOG_FORMAT", "xml")], &[]),
        ("", &[("STEAD_INSECURE", "perhaps")], &[]),
        ("", &[("STEAD_TRUSTED_PROXIES", "ten")], &[]),
        ("listen = \"0.0.0.0:8080\"", &[], &[]),
        ("", &[], &[("peer_listen", "[::]:9080")]),
        ("replicas = 2\nshards = 0\njoin = \"10.0.0.1:9080\"", &[], &[]),
        ("join_secret_file = \"x\"", &[("STEAD_JOIN_SECRET", "0123456789abcdef")], &[]),
        ("peer_key_file = \"x\"", &[], &[]),
        (
            "public_url = \"example.net\"\nallowed_origins = [\"*\", \"null\"]\nallowed_hosts = [\"a:1\"]",
            &[],
            &[],
        ),
        ("[timing]\nheartbeat_ms = 600\nbody_timeout_ms = 0", &[], &[]),
        ("[limits]\nsockets = 0", &[], &[]),
        ("[changeflow]\ntime_zone = \"Europe/Atlantis\"", &[], &[]),
        ("[[changeflow.windows]]\ndays = [\"tue\"]\nfrom = \"02:00\"\nto = \"25:00\"", &[], &[]),
        ("[changeflow]\napprovers = []", &[], &[]),
        ("peer_listen = \"127.0.0.1:8080\"", &[], &[]),
        ("", &[], &[("shards", "70000")]),
        ("", &[], &[("log.format", "xml")]),
        ("", &[], &[("logformat", "text")]),
    ] {
        writeln!(said, "{}\n", complaint(file, variables, flags)).expect("text takes text");
    }
    expect_test::expect_file!["./complaints.txt"].assert_eq(&said);
}

#[test]
fn insecure_allows_and_warns() {
    let config = load("listen = \"0.0.0.0:8080\"\ninsecure = true", &[], &[]).expect("it is allowed");
    assert_eq!(config.warnings().len(), 1);
    assert!(Config::default().warnings().is_empty());
    let files = "peer_certificate_file = \"a\"\npeer_key_file = \"b\"\npeer_authority_file = \"c\"\n";
    let encrypted = load(&format!("{files}peer_listen = \"0.0.0.0:9080\""), &[], &[]);
    assert!(encrypted.is_ok_and(|config| config.warnings().is_empty()), "TLS keeps others out");
    let inside = load("listen = \"127.8.8.8:1\"\npeer_listen = \"[::ffff:127.0.0.1]:2\"", &[], &[]);
    assert!(inside.is_ok(), "loopback in other writings");
}

#[test]
fn origins_and_hosts_are_told_apart() {
    for good in ["http://localhost:3000", "https://app.example.net", "http://[::1]:80", "http://127.0.0.1"] {
        assert!(load(&format!("allowed_origins = [\"{good}\"]"), &[], &[]).is_ok(), "{good}");
    }
    for bad in
        ["https://a.example/", "https://a.example/x", "ftp://a.example", "https://u@a.example", "a.example"]
    {
        assert!(load(&format!("allowed_origins = [\"{bad}\"]"), &[], &[]).is_err(), "{bad}");
    }
}

#[test]
fn the_keys_are_the_fields() {
    let full = Config {
        advertise: Some("a".into()),
        join: Some("b".into()),
        join_secret_file: Some("c".into()),
        snapshots_dir: Some("i".into()),
        peer_certificate_file: Some("f".into()),
        peer_key_file: Some("g".into()),
        peer_authority_file: Some("h".into()),
        zone: Some("d".into()),
        public_url: Some("e".into()),
        ..Config::default()
    };
    let mut fields = Vec::new();
    for (name, value) in toml::Table::try_from(&full).expect("a table") {
        match value {
            // A policy is of the file only, and documents itself.
            toml::Value::Table(_) if name == keys::POLICY => {}
            toml::Value::Table(inner) => fields.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            _ => fields.push(name),
        }
    }
    let mut named: Vec<_> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    fields.sort();
    named.sort();
    assert_eq!(named, fields);
}

#[test]
fn what_is_printed_reads_back() {
    let changed = Config {
        zone: Some("quote \" and \\ back".into()),
        allowed_hosts: vec!["a.example".into(), "b.example".into()],
        listen: "127.0.0.1:0".parse().expect("an address"),
        changeflow: Policy { max_overlapping: 7, freezes: Vec::new(), ..Policy::default() },
        ..Config::default()
    };
    for config in [Config::default(), changed] {
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).expect("it reads"), config);
    }
    for key in KEYS.iter().filter(|key| !key.example.is_empty()) {
        let example: toml::Table = format!("x = {}", key.example).parse().expect("the example is TOML");
        let mut alone = toml::Table::new();
        keys::put(&mut alone, key.path, example.get("x").expect("it was put").clone());
        assert!(alone.try_into::<Config>().is_ok(), "{}", key.path);
    }
}

#[test]
fn the_example_file_is_the_defaults() {
    expect_test::expect_file!["../../deploy/stead.toml"].assert_eq(&Config::default().to_toml());
}

#[test]
fn foreign_variables_are_named() {
    let environment = pairs(&[
        ("STEAD_LISTEN", ""),
        ("STEAD_LISTENN", ""),
        ("STEAD_URL", ""),
        ("STEAD_SERVICE_HOST", ""),
        ("STEAD_PORT_8080_TCP", ""),
        ("PATH", ""),
    ]);
    assert_eq!(Config::foreign_variables(&environment), ["STEAD_LISTENN"]);
}

#[test]
fn the_readme_lists_every_key() {
    let readme = include_str!("../../README.md");
    let defaults = Config::default();
    let mut table = String::new();
    for key in KEYS {
        let default = defaults.shown(key.path).map_or_else(String::new, |value| format!("`{value}`"));
        let row = format!("| `{}` | {default} | {} |", key.path, key.doc).replace("|  |", "| |");
        writeln!(table, "{row}").expect("text takes text");
    }
    assert!(readme.contains(&table), "the table of README.md should be:\n{table}");
}
