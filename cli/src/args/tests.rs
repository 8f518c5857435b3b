use clap::{CommandFactory, Parser, error::ErrorKind};

use super::*;

fn parse(line: &str) -> Result<Args, ErrorKind> {
    Args::try_parse_from(line.split_whitespace()).map_err(|e| e.kind())
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn every_command_of_the_surface_is_there() {
    for line in [
        "godwit status",
        "godwit peer list",
        "godwit peer show 10.0.0.1",
        "godwit peer add 10.0.0.1 --remote-as external --hold-time 9s",
        "godwit peer add 10.0.0.1 --group tor --family ipv4-unicast --import a,b",
        "godwit peer add 10.0.0.1 --group tor --local-as 64500 --no-prepend --dual-as --remove-private-as",
        "godwit peer add 10.0.0.1 --group tor --remove-private-as all --role customer",
        "godwit peer remove 10.0.0.1",
        "godwit peer enable 10.0.0.1",
        "godwit peer disable 10.0.0.1 --message maintenance",
        "godwit peer reset 10.0.0.1",
        "godwit peer reset 10.0.0.1 --hard --message maintenance",
        "godwit peer refresh 10.0.0.1 --in",
        "godwit peer refresh 10.0.0.1 --out --family ipv6-unicast",
        "godwit route list",
        "godwit route list --peer 10.0.0.1 --received --limit 5",
        "godwit route list --peer 10.0.0.1 --advertised",
        "godwit route list --rejected --longer 10.0.0.0/8 --community no-export",
        "godwit route show 10.0.0.1",
        "godwit route explain 10.0.0.0/24",
        "godwit route add 10.0.0.0/24 --blackhole --community 64512:1,no-export",
        "godwit route remove 10.0.0.0/24",
        "godwit fib list --not-installed",
        "godwit fib check",
        "godwit config check x.toml",
        "godwit config reload",
        "godwit watch peers -o json",
        "godwit watch routes --family ipv4-unicast",
        "godwit stop",
        "godwit completions bash",
        "godwit man",
        "godwit --socket /tmp/s status",
        "godwit status --socket /tmp/s",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
    }
}

#[test]
fn slips_are_told_before_anything_is_asked() {
    for (line, kind) in [
        (
            "godwit peer refresh 10.0.0.1",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "godwit peer refresh 10.0.0.1 --in --out",
            ErrorKind::ArgumentConflict,
        ),
        (
            "godwit peer add 10.0.0.1",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "godwit peer reset 10.0.0.1 --message x",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "godwit route list --advertised",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "godwit route list --received --accepted",
            ErrorKind::ArgumentConflict,
        ),
        ("godwit route add 10.0.0.1/24", ErrorKind::ValueValidation),
        (
            "godwit route list --community 1",
            ErrorKind::ValueValidation,
        ),
    ] {
        assert_eq!(parse(line).map(drop), Err(kind), "{line}");
    }
}

#[test]
fn a_message_is_no_longer_than_the_notification_has_room() {
    let line = format!("godwit peer disable 10.0.0.1 --message {}", "x".repeat(256));
    assert_eq!(parse(&line).map(drop), Err(ErrorKind::ValueValidation));
}
