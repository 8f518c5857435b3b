//! Each error shows the place and what to write instead.

use crate::{ROUTER, ok, wrong};

/// Asserts that a file has exactly one error, whose text has these parts.
#[track_caller]
fn says(text: &str, parts: &[&str]) {
    let said = wrong(text);
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[track_caller]
fn router_says(keys: &str, parts: &[&str]) {
    says(&format!("{ROUTER}{keys}"), parts);
}

#[track_caller]
fn peer_says(keys: &str, parts: &[&str]) {
    says(&format!("{ROUTER}[[peer]]\n{keys}"), parts);
}

#[test]
fn an_error_looks_like_this() {
    let said = wrong("[router]\nasn = 64512\nmax-pahts = 4\n");
    let expected = "\
error: unknown key `max-pahts`
 --> godwit.toml:3:1
  |
3 | max-pahts = 4
  | ^^^^^^^^^ not known here
  |
  = help: did you mean `max-paths`?";
    assert_eq!(said, expected);
}

#[test]
fn two_places_are_both_shown() {
    let said = wrong(&format!(
        "{ROUTER}[[originate]]\nprefix = '10.0.0.0/8'\n[[originate]]\nprefix = '10.0.0.0/8'"
    ));
    let expected = "\
error: 10.0.0.0/8 is originated twice
 --> godwit.toml:6:10
  |
4 | prefix = '10.0.0.0/8'
  |          ------------ first here
5 | [[originate]]
6 | prefix = '10.0.0.0/8'
  |          ^^^^^^^^^^^^ again
  |
  = help: take one of them out";
    assert_eq!(said, expected);
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_file() {
    let said = wrong("[router]\nasn = 0\nrouter-id = 'x'\n[[peer]]\nhold-time = '1s'\n[x]\n");
    let places: Vec<&str> = said.lines().filter(|l| l.contains("--> ")).collect();
    assert_eq!(places.len(), 5, "{said}");
    assert!(places.is_sorted(), "{said}");
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    says(
        "[router\nasn = 1",
        &["godwit.toml:1:8", "close the bracket"],
    );
    says(
        "[router]\nasn = \n",
        &["godwit.toml:2:1", "`asn` has no value"],
    );
    says("[router]\nasn: 1\n", &["godwit.toml:2:4", "`key = value`"]);
    says(
        "[router]\nasn = 1\nasn = 2\n",
        &["godwit.toml:3:1", "duplicate key", "take one of them out"],
    );
    says(
        "[router]\nrouter-id = \"1\n",
        &["end the text with the quote"],
    );
    says("[peer]\n[peer]\n", &["write `[[peer]]`"]);
    says("[fib]\n[fib]\n", &["put all of it below one `[fib]`"]);
}

#[test]
fn text_without_quotes_is_given_them() {
    let said = wrong("[router]\nrouter-id = 10.0.0.1 # ours\n");
    let expected = "\
error: text needs quotes
 --> godwit.toml:2:13
  |
2 | router-id = 10.0.0.1 # ours
  |             ^^^^^^^^ no number, and not quoted
  |
  = help: write `\"10.0.0.1\"`";
    assert_eq!(said, expected);
}

#[test]
fn a_file_without_an_as_number_says_how_to_give_one() {
    says(
        "",
        &[
            "error: godwit.toml: `[router]` is missing",
            "`asn = NUMBER`",
        ],
    );
    says("[router]\n", &["`asn` is missing", "add `asn = NUMBER`"]);
    says(
        "router = 5\n",
        &["a table is needed here, not an integer", "`[router]`"],
    );
}

#[test]
fn as_numbers_are_checked() {
    says(
        "[router]\nasn = '64512'",
        &["has no quotes", "write `64512`"],
    );
    says("[router]\nasn = 23456", &["AS_TRANS"]);
    says(
        "[router]\nasn = 4294967296",
        &["not an AS number", "4294967294"],
    );
    says("[router]\nasn = 0", &["RFC 7607"]);
    says("[router]\nasn = 65535", &["RFC 7300"]);
}

#[test]
fn a_router_id_may_not_be_zero() {
    router_says("router-id = '0.0.0.0'", &["an id may not be zero"]);
    router_says("cluster-id = 1", &["an id is needed here, not an integer"]);
}

#[test]
fn peers_can_not_have_longer_to_come_up_than_updates_are_held_back() {
    router_says(
        "update-delay = '1m'\nestablish-wait = '61s'",
        &["longer than `update-delay`", "make it shorter"],
    );
    router_says("establish-wait = '1s'", &["longer than `update-delay`"]);
}

#[test]
fn listeners_are_checked() {
    router_says(
        "listen = ['::1:179x']",
        &["not an address to listen on", "`\"[::]:179\"`"],
    );
    router_says("listen = ['0.0.0.0', '0.0.0.0:179']", &["listed twice"]);
    router_says("listen = ['[::]:0']", &["port 0"]);
    router_says(
        "listen = '[::]:179'",
        &["a list is needed here", "put it into brackets"],
    );
    let config = ok(&format!(
        "{ROUTER}listen = ['[::]', '::1', '[fd00::1]:1179', '10.0.0.1']"
    ));
    let listen: Vec<String> = config.router.listen.iter().map(|a| a.to_string()).collect();
    assert_eq!(
        listen,
        ["[::]:179", "[::1]:179", "[fd00::1]:1179", "10.0.0.1:179"]
    );
}

#[test]
fn planned_keys_are_told_from_unknown_ones() {
    let planned = [
        "[node]\nname = 'a'",
        "[host]\nsysctl = 'set'",
        "[store]\nkind = 'file'",
        "[ipam]\nenabled = true",
        "[network-policy]\nenabled = true",
        "[metrics]\nlisten = '127.0.0.1:9179'",
        "[fib]\nwait-for-kernel = true",
        "[api]\ntcp = { listen = '10.0.0.11:50051' }",
        "[peer-group.g]\ntcp-ao = 'x'",
    ];
    for text in planned {
        router_says(text, &["is not in this version", "it is planned"]);
    }
    router_says(
        "[ruoter]",
        &["unknown section `ruoter`", "did you mean `router`?"],
    );
    router_says(
        "[zebra]",
        &["unknown section `zebra`", "known here: router, originate,"],
    );
}

#[test]
fn a_peer_needs_a_remote_as() {
    peer_says(
        "address = '10.0.0.1'",
        &["peer 10.0.0.1 has no `remote-as`", "godwit.toml:3:1"],
    );
    peer_says(
        "address = '10.0.0.1'\nremote-as = '65000'",
        &["has no quotes", "write `65000`"],
    );
    peer_says(
        "address = '10.0.0.1'\nremote-as = 'outside'",
        &["\"external\""],
    );
    peer_says(
        "address = '10.0.0.1'\nremote-as = true",
        &["an AS is needed here"],
    );
}

#[test]
fn a_peer_has_an_address_or_a_range() {
    peer_says(
        "address = '10.0.0.1'\nrange = '10.0.0.0/24'\nremote-as = 1",
        &["not both"],
    );
    peer_says("remote-as = 1", &["a peer needs an `address`"]);
    peer_says(
        "range = '10.0.0.1/24'\nremote-as = 1",
        &["write `\"10.0.0.0/24\"`"],
    );
    peer_says(
        "address = '10.0.0.0/24'\nremote-as = 1",
        &["this is a prefix"],
    );
    peer_says(
        "address = '0.0.0.0'\nremote-as = 1",
        &["no neighbour can have", "unspecified"],
    );
    peer_says("address = '224.0.0.5'\nremote-as = 1", &["multicast"]);
    peer_says(
        "address = 'fe80::1'\nremote-as = 1",
        &["names no neighbour", "interface = \"NAME\""],
    );
    peer_says(
        "address = '::ffff:10.0.0.1'\nremote-as = 1",
        &["write `\"10.0.0.1\"`"],
    );
}

#[test]
fn an_interface_names_a_peer_alone_and_without_what_needs_an_address() {
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\ninterface = 'eth1'",
        &["an `address` or an `interface`, not both"],
    );
    peer_says(
        "interface = 'eth1'\nrange = '10.0.0.0/24'\nremote-as = 1",
        &["an `interface` or a `range`, not both"],
    );
    for (name, why) in [
        ("10.0.0.1", "address = "),
        ("sixteen-octets-0", "longer than 15 bytes"),
        ("a b", "a character that no name has"),
        ("a%b", "ambiguous"),
    ] {
        let peer = format!("interface = '{name}'\nremote-as = 1");
        peer_says(&peer, &["not the name of an interface", why]);
    }
    for key in [
        "multihop = 3",
        "local-address = '10.0.0.1'",
        "local-interface = 'eth1'",
    ] {
        let peer = format!("interface = 'eth1'\nremote-as = 1\n{key}");
        peer_says(&peer, &["is not for the neighbour on eth1", "take it out"]);
    }
}

#[test]
fn a_group_must_exist() {
    router_says(
        "[peer-group.tor]\nremote-as = 1\n[[peer]]\naddress = '10.0.0.1'\ngroup = 'tro'",
        &["no peer group is named `tro`", "did you mean `tor`?"],
    );
    peer_says(
        "address = '10.0.0.1'\ngroup = 'tor'",
        &["add a `[peer-group.tor]`"],
    );
}

#[test]
fn a_wrong_value_of_a_group_is_said_once() {
    router_says(
        "[peer-group.g]\nremote-as = 'x'\n[[peer]]\naddress = '10.0.0.1'\ngroup = 'g'\n[[peer]]\naddress = '10.0.0.2'\ngroup = 'g'",
        &["not an AS"],
    );
}

#[test]
fn a_peer_stands_once() {
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\n[[peer]]\naddress = '10.0.0.1'\nremote-as = 2",
        &["peer 10.0.0.1 stands here twice", "first here"],
    );
}

#[test]
fn policies_must_exist() {
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\nimport = ['acept-all']",
        &[
            "no routing policy is named `acept-all`",
            "did you mean `accept-all`?",
        ],
    );
    router_says(
        "[[policy.route.accept-all]]\nthen = 'accept'",
        &["`accept-all` is built in"],
    );
}

#[test]
fn hold_times_are_those_of_bgp() {
    for time in ["1s", "2s", "1500ms", "65536s"] {
        peer_says(
            &format!("address = '10.0.0.1'\nremote-as = 1\nhold-time = '{time}'"),
            &["not a hold time that BGP allows", "`\"3s\"` or more"],
        );
    }
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\nhold-time = 9",
        &["a duration needs its unit", "`\"9s\"`"],
    );
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\nhold-time = '9 s'",
        &["not a duration"],
    );
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\nhold-time = '9s'\nkeepalive = '4s'",
        &["doesn't fit the hold time", "the hold time is 9 s"],
    );
}

#[test]
fn only_internal_peers_are_reflector_clients() {
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\nroute-reflector-client = true",
        &[
            "external peer 10.0.0.1 can't be a route reflector client",
            "RFC 4456",
        ],
    );
}

#[test]
fn both_ends_are_of_one_kind() {
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\nlocal-address = 'fd00::1'",
        &["not of the same kind"],
    );
}

#[test]
fn multihop_is_two_at_least() {
    peer_says(
        "address = '10.0.0.1'\nremote-as = 1\nmultihop = 1",
        &["number out of range", "from 2 to 255"],
    );
}

#[test]
fn paths_are_sent_by_number_or_word() {
    for (wrong, parts) in [
        ("0", ["number out of range", "from 1 to 256"]),
        ("257", ["number out of range", "`\"all\"`"]),
        ("'best'", ["not a choice of paths", "`\"ecmp\"`"]),
        (
            "true",
            ["a number or a word is needed", "this is a boolean"],
        ),
    ] {
        let keys = format!(
            "address = '10.0.0.1'\nremote-as = 64512\n[peer.family.ipv4-unicast]\nadd-path = {{ send = {wrong} }}"
        );
        peer_says(&keys, &parts);
    }
    peer_says(
        "address = '10.0.0.1'\nremote-as = 64512\n[peer.family.ipv4-unicast]\nadd-path = { recieve = true }",
        &["unknown key `recieve`", "did you mean `receive`?"],
    );
}

#[test]
fn prefixes_have_no_host_bits() {
    router_says(
        "[[originate]]\nprefix = '10.0.0.1/24'",
        &["bits beyond the prefix length", "write `\"10.0.0.0/24\"`"],
    );
    router_says(
        "[[originate]]\nprefix = '10.0.0.1'",
        &["write `\"10.0.0.1/32\"`"],
    );
    router_says("[[originate]]\nblackhole = true", &["`prefix` is missing"]);
}

#[test]
fn what_is_wrong_of_a_prefix_is_told() {
    for (prefix, said) in [
        ("10.0.0.0/33", ["no length of 33", "0 to 32"]),
        ("fd00::/129", ["no length of 129", "0 to 128"]),
        (
            "10.0.0/8",
            ["not address/length", "write address and length"],
        ),
        (
            "10.0.0.0/",
            ["not address/length", "write address and length"],
        ),
    ] {
        router_says(&format!("[[originate]]\nprefix = '{prefix}'"), &said);
    }
}

/// The slip is said, and not what follows from it besides.
#[test]
fn a_misspelt_key_is_not_missing_too() {
    peer_says(
        "addres = '10.0.0.1'\nremote-as = 1",
        &["did you mean `address`"],
    );
    peer_says(
        "rnage = '10.0.0.0/8'\nremote-as = 1",
        &["did you mean `range`"],
    );
    peer_says(
        "address = '10.0.0.1'\nremot-as = 1",
        &["did you mean `remote-as`"],
    );
    router_says(
        "[[originate]]\nprefiks = '10.0.0.0/8'",
        &["did you mean `prefix`"],
    );
    says("[router]\nasm = 1\n", &["did you mean `asn`"]);
}

#[test]
fn a_word_that_is_nearly_one_is_named() {
    peer_says(
        "address = '10.0.0.1'\nremote-as = 'extrenal'",
        &["did you mean `\"external\"`"],
    );
    router_says("[fib]\ntable = 'mian'", &["did you mean `\"main\"`"]);
    router_says(
        "[[policy.route.p]]\nmatch = { community = '64512:70000' }",
        &["70000 is more than 65535", "`\"64512:0:70000\"`"],
    );
}

/// A file as one writes it in a hurry: each mistake is said, once, where it is.
#[test]
fn ten_mistakes_are_ten_errors() {
    let said = wrong(
        "[router]
asn = 64512
[peer-group.tors]
hold-time = 90
import = ['from-tor', 'nobody']
[[peer]]
address = '10.0.0.1'
group = 'tor'
[[peer]]
address = '10.0.0.2'
remote-as = 65001
pasive = true
password-file = '/nonexistent/key'
[[peer]]
address = '10.0.0.2'
remote-as = 65001
[[peer]]
address = '10.0.0.3'
[[peer]]
range = '10.1.0.1/16'
remote-as = 'external'
[[originate]]
prefix = '10.0.0.0/33'
[[policy.route.from-tor]]
match = { prefix-set = 'rack' }
",
    );
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("--> ")).collect();
    let places = [4, 5, 8, 12, 13, 15, 17, 20, 23, 25];
    assert_eq!(lines.len(), places.len(), "{said}");
    for (line, place) in lines.iter().zip(places) {
        assert!(
            line.contains(&format!(":{place}:")),
            "{line} is not {place}\n{said}"
        );
    }
    assert_eq!(said.matches("= help: ").count(), places.len(), "{said}");
}

#[test]
fn prefix_sets_are_checked() {
    let set = |item: &str| format!("[policy.prefix-set]\ns = ['{item}']");
    router_says(&set("10.0.0.1/8"), &["bits beyond", "write `10.0.0.0/8`"]);
    router_says(
        &set("10.0.0.0/8{4,9}"),
        &["{4,9} is no range of lengths here"],
    );
    router_says(
        &set("10.0.0.0/8{9}"),
        &["write `{16,24}` right after the prefix"],
    );
    router_says(&set("ten"), &["not a prefix", "`10.0.0.0/8+`"]);
    router_says(
        "[policy]\nprefix-set = ['10.0.0.0/8']",
        &["a table of names is needed here"],
    );
}

#[test]
fn rules_are_checked() {
    let rule = |keys: &str| format!("[policy.prefix-set]\npods = []\n[[policy.route.p]]\n{keys}");
    router_says(&rule("then = 'acept'"), &["did you mean `\"accept\"`?"]);
    router_says(
        &rule("match = { prefix-set = 'pod' }"),
        &["did you mean `pods`?"],
    );
    router_says(
        &rule("match = { prefix_set = 'pods' }"),
        &["did you mean `prefix-set`?"],
    );
    router_says(&rule("match = { community = [] }"), &["nothing to match"]);
    router_says(&rule("match = { community = '1' }"), &["not a community"]);
    router_says(&rule("match = { neighbour = 'tor' }"), &["not an address"]);
    router_says(
        &rule("set = { local-pref = -1 }"),
        &["from 0 to 4294967295"],
    );
    router_says(&rule("set = { prepend = 33 }"), &["from 1 to 32"]);
    router_says(&rule("set = { prepend = 'x' }"), &["`prepend = 2`"]);
    router_says(
        &rule("set = { community-add = ['1:65536'] }"),
        &["not a community"],
    );
    router_says(
        "[policy.community-set]\nours = []\n[[policy.route.p]]\nmatch = { community = 'ours' }",
        &["this set has no communities"],
    );
    router_says(
        "[policy.community-set]\nours = ['1:1']\n[[policy.route.p]]\nmatch = { community = 'our' }",
        &["no community and no community set", "did you mean `ours`?"],
    );
    router_says(
        "[policy.route.p]\nthen = 'accept'",
        &["a list of tables", "double brackets"],
    );
}

#[test]
fn the_kernel_side_is_checked() {
    router_says("[fib]\nmetric = 256", &["from 257"]);
    router_says("[fib]\nprotocol = 12", &["of BIRD"]);
    router_says(
        "[fib]\ntable = 'mian'",
        &["no routing table is known as `mian`"],
    );
    router_says("[fib]\ntable = 255", &["the kernel's own"]);
    router_says(
        "[fib]\non-stop = 'kept'",
        &["write `\"keep\"` or `\"remove\"`"],
    );
}

#[test]
fn a_second_originate_is_found_under_one_that_covers_both() {
    router_says(
        "[[originate]]\nprefix = '10.0.0.0/8'\n[[originate]]\nprefix = '10.1.0.0/16'\n\
         [[originate]]\nprefix = '10.1.0.0/16'",
        &["10.1.0.0/16 is originated twice"],
    );
}
