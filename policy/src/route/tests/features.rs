//! The features one by one, as users write them.

use super::*;

fn compile(rules: &[(&str, Vec<RuleSpec>)]) -> PolicySet {
    PolicySet::compile(&spec(&[], rules)).unwrap()
}

fn accept(matches: MatchSpec) -> Vec<RuleSpec> {
    vec![rule(matches, SetSpec::default(), Some(Then::Accept))]
}

fn path(asns: &[u32]) -> AttrsBuf {
    let mut buf = AttrsBuf::new(OWN, Origin::Igp);
    for asn in asns.iter().rev() {
        buf.prepend_as(Asn(*asn), 1);
    }
    buf
}

fn call(name: &str, then: Option<Then>) -> RuleSpec {
    RuleSpec {
        call: Some(name.into()),
        then,
        ..RuleSpec::default()
    }
}

#[test]
fn arithmetic_stops_at_both_ends() {
    for (amount, before, after) in [
        (Amount::Plus(10), Some(5), 15),
        (Amount::Minus(10), Some(5), 0),
        (Amount::Plus(10), Some(u32::MAX), u32::MAX),
        (Amount::Plus(10), None, 10),
        (Amount::Exactly(7), Some(5), 7),
    ] {
        let mut attrs = route(&[]);
        attrs.set_med(before);
        let sets = SetSpec {
            med: Some(amount),
            ..SetSpec::default()
        };
        apply(&sets, &mut attrs);
        assert_eq!(attrs.as_ref().med(), Some(after), "{amount:?}");
    }
    let mut attrs = route(&[]);
    let sets = SetSpec {
        local_pref: Some(Amount::Minus(10)),
        ..SetSpec::default()
    };
    apply(&sets, &mut attrs);
    assert_eq!(
        attrs.as_ref().local_pref(),
        Some(90),
        "100 where there is none"
    );
}

#[test]
fn arithmetic_of_several_rules_adds_up() {
    let more = SetSpec {
        med: Some(Amount::Plus(10)),
        ..SetSpec::default()
    };
    let rules = vec![
        rule(MatchSpec::default(), more.clone(), None),
        rule(MatchSpec::default(), more, Some(Then::Accept)),
    ];
    let policy = compile(&[("p", rules)]).chain(&["p"]).unwrap();
    let mut attrs = route(&[]);
    attrs.set_med(Some(1));
    let outcome = outcome(&policy, attrs.as_ref(), net("10.0.0.0/8"));
    assert_eq!(outcome.edits.med(), Some(21));
}

#[test]
fn wildcards_remove_all_they_match_and_nothing_else() {
    let mut attrs = route(&[]);
    let add = [
        "64512:1",
        "64512:199",
        "64513:1",
        "no-export",
        "64512:1:2",
        "rt:64512:7",
        "soo:64512:7",
        "rt:[2001:db8::1]:7",
    ];
    apply(&super::add(&add), &mut attrs);
    let sets = SetSpec {
        community_remove: patterns(&["64512:100-199", "rt:*", "/^no-/"]),
        ..SetSpec::default()
    };
    apply(&sets, &mut attrs);
    let left: Vec<String> = edits::communities(attrs.as_ref())
        .map(|c| c.to_string())
        .collect();
    assert_eq!(left, ["64512:1", "64513:1", "soo:64512:7", "64512:1:2"]);
}

#[test]
fn an_accepting_call_decides_with_what_both_set() {
    let set = compile(&[
        (
            "inner",
            vec![rule(
                with_community(&["64512:1"]),
                add(&["64512:2"]),
                Some(Then::Accept),
            )],
        ),
        (
            "outer",
            vec![RuleSpec {
                sets: add(&["64512:1"]),
                ..call("inner", Some(Then::Reject))
            }],
        ),
    ]);
    let outcome = outcome(
        &set.chain(&["outer"]).unwrap(),
        route(&[]).as_ref(),
        net("10.0.0.0/8"),
    );
    assert_eq!(&*outcome.rule, "inner rule 1");
    let mut attrs = route(&[]);
    outcome.edits.apply(None, LOCAL, &mut attrs);
    assert_eq!(attrs.as_ref().communities().count(), 2);
}

#[test]
fn next_and_falling_off_a_called_policy_come_back() {
    let next = vec![
        rule(MatchSpec::default(), local_pref(7), Some(Then::Next)),
        rule(MatchSpec::default(), SetSpec::default(), Some(Then::Reject)),
    ];
    let set = compile(&[
        ("next", next),
        ("empty", vec![]),
        (
            "outer",
            vec![
                call("empty", None),
                call("next", None),
                call("empty", Some(Then::Accept)),
            ],
        ),
    ]);
    let outcome = outcome(
        &set.chain(&["outer"]).unwrap(),
        route(&[]).as_ref(),
        net("10.0.0.0/8"),
    );
    assert_eq!(
        (&*outcome.rule, outcome.edits.local_pref()),
        ("outer rule 3", Some(7))
    );
}

#[test]
fn a_ring_of_calls_is_an_error_that_names_it() {
    let rules = [
        ("a", vec![call("b", None)]),
        ("b", vec![call("c", None)]),
        ("c", vec![call("b", None)]),
    ];
    let spec = spec(&[], &rules);
    let error = PolicySet::compile(&spec).unwrap_err().to_string();
    assert_eq!(error, "policies call each other in a ring: b → c → b");
    let rings = spec.call_rings();
    assert_eq!(rings.len(), 1);
    assert_eq!(rings[0].names, ["b", "c", "b"]);
    assert_eq!((&*rings[0].caller, &*rings[0].called), ("c", "b"));
}

/// `count` policies, each calling the next, and the last one `end`.
fn chain_of_calls(count: usize, name: impl Fn(usize) -> String, end: &str) -> PolicySetSpec {
    let rules = (0..count).map(|n| {
        let next = match n + 1 == count {
            true => end.to_owned(),
            false => name(n + 1),
        };
        (name(n), vec![call(&next, None)])
    });
    PolicySetSpec {
        policies: rules.collect(),
        ..PolicySetSpec::default()
    }
}

#[test]
fn calls_go_only_so_deep_in_whatever_order_they_are_compiled() {
    let forwards = |n: usize| format!("p{n:06}");
    let backwards = |n: usize| format!("p{:06}", 999_999 - n);
    for name in [&forwards as &dyn Fn(usize) -> String, &backwards] {
        let spec = |count| chain_of_calls(count, name, "accept-all");
        // The built-in policy is one, too.
        PolicySet::compile(&spec(PolicySet::MAX_DEPTH - 1)).unwrap();
        for count in [PolicySet::MAX_DEPTH, 20_000] {
            let spec = spec(count);
            assert_eq!(spec.call_rings(), []);
            let error = PolicySet::compile(&spec).unwrap_err();
            assert!(matches!(error, PolicyError::TooDeep { .. }), "{error}");
        }
    }
}

#[test]
fn rings_are_found_in_one_pass_however_long_and_many() {
    let name = |n: usize| format!("p{n:06}");
    let rings = chain_of_calls(20_000, name, &name(0)).call_rings();
    assert_eq!(rings.len(), 1);
    assert_eq!(rings[0].names.len(), 12);
    assert_eq!(
        (&*rings[0].caller, rings[0].called.clone()),
        (&*name(19_999), name(0))
    );
    let itself = (0..50_000).map(|n| (name(n), vec![call(&name(n), None)]));
    let spec = PolicySetSpec {
        policies: itself.collect(),
        ..PolicySetSpec::default()
    };
    assert_eq!(spec.call_rings().len(), 50_000);
}

#[test]
fn calls_do_not_multiply_without_end() {
    let names: Vec<String> = (0..40).map(|n| format!("p{n:02}")).collect();
    let rules: Vec<(&str, Vec<RuleSpec>)> = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let calls = names.get(n + 1).map(|next| vec![call(next, None); 2]);
            (
                name.as_str(),
                calls.unwrap_or_else(|| accept(MatchSpec::default())),
            )
        })
        .collect();
    let error = PolicySet::compile(&spec(&[], &rules)).unwrap_err();
    assert!(matches!(error, PolicyError::TooManyRules { .. }), "{error}");
}

#[test]
fn a_changed_called_policy_changes_the_caller() {
    let build = |pref| {
        let set = compile(&[
            (
                "inner",
                vec![rule(
                    MatchSpec::default(),
                    local_pref(pref),
                    Some(Then::Accept),
                )],
            ),
            ("outer", vec![call("inner", None)]),
        ]);
        set.chain(&["outer"]).unwrap()
    };
    assert_eq!(build(1), build(1));
    assert_ne!(build(1), build(2));
}

#[test]
fn unless_means_none_of_them() {
    let rules = vec![RuleSpec {
        unless: MatchSpec {
            communities: patterns(&["64512:1"]),
            prefix_sets: vec!["s".into()],
            ..MatchSpec::default()
        },
        then: Some(Then::Accept),
        ..RuleSpec::default()
    }];
    let set = PolicySet::compile(&spec(&[("s", &["10.0.0.0/8+"])], &[("p", rules)])).unwrap();
    let policy = set.chain(&["p"]).unwrap();
    let accepted = |communities: &[u32], prefix: &str| {
        outcome(&policy, route(communities).as_ref(), net(prefix)).is_accepted()
    };
    let one = 64512 << 16 | 1;
    assert!(accepted(&[], "192.0.2.0/24"));
    assert!(!accepted(&[one], "192.0.2.0/24"));
    assert!(!accepted(&[], "10.1.0.0/16"));
    assert!(!accepted(&[one], "10.1.0.0/16"));
}

#[test]
fn the_source_of_an_exported_route_is_told_from_the_peer_it_goes_to() {
    let matches = MatchSpec {
        source: vec![SourceMatch::Neighbour(NeighbourMatch::Group(
            "spine".into(),
        ))],
        ..MatchSpec::default()
    };
    let policy = compile(&[("p", accept(matches))]).chain(&["p"]).unwrap();
    assert_eq!(
        policy.0.uses(),
        Uses {
            neighbour: false,
            source: true
        }
    );
    let peer = PeerContext {
        direction: Direction::Export,
        ..peer()
    };
    let accepted = |group: &str| {
        let neighbour = Neighbour {
            group: Some(group.into()),
            ..(*peer.neighbour).clone()
        };
        let source = Source {
            kind: SourceKind::Peer(SessionKind::External),
            neighbour: Some(Arc::new(neighbour)),
        };
        let attrs = route(&[]);
        let route = Route {
            peer: &peer,
            source: &source,
            attrs: attrs.as_ref(),
        };
        policy
            .0
            .specialise(&route)
            .decide(net("10.0.0.0/8").into())
            .is_accepted()
    };
    assert!(accepted("spine"));
    assert!(!accepted("tor"), "the group of the receiver");
}

#[test]
fn a_prepended_path_is_what_later_rules_see() {
    let longer = SetSpec {
        prepend: vec![Prepend::Local(2)],
        ..SetSpec::default()
    };
    let seen = MatchSpec {
        as_path: vec!["^64512 64512 1 2$".parse().unwrap()],
        as_path_length: Some(NumberRange::one(4)),
        origin_as: vec![NumberRange::one(2)],
        first_as: vec![NumberRange::one(LOCAL.0)],
        ..MatchSpec::default()
    };
    let rules = vec![
        rule(MatchSpec::default(), longer, None),
        rule(seen, SetSpec::default(), Some(Then::Accept)),
    ];
    let policy = compile(&[("p", rules)]).chain(&["p"]).unwrap();
    assert!(outcome(&policy, path(&[1, 2]).as_ref(), net("10.0.0.0/8")).is_accepted());
}

#[test]
fn the_trace_names_each_rule_and_the_condition_it_failed_by() {
    let rules = vec![
        rule(
            with_community(&["64512:9"]),
            SetSpec::default(),
            Some(Then::Reject),
        ),
        RuleSpec {
            unless: MatchSpec {
                family: Some(Family::Ipv4Unicast),
                ..MatchSpec::default()
            },
            ..RuleSpec::default()
        },
        call("inner", Some(Then::Accept)),
    ];
    let inner = vec![rule(in_set("s"), local_pref(5), None)];
    let set = PolicySet::compile(&spec(
        &[("s", &["192.0.2.0/24"])],
        &[("inner", inner), ("p", rules)],
    ));
    let policy = set.unwrap().chain(&["p"]).unwrap();
    let (attrs, peer) = (route(&[]), peer());
    let route = Route {
        peer: &peer,
        source: &from(&peer),
        attrs: attrs.as_ref(),
    };
    let trace = policy.0.trace(&route, "10.0.0.0/8".parse().unwrap());
    let steps: Vec<(String, TraceResult)> = trace
        .steps
        .iter()
        .map(|step| (format!("{} {}", step.policy, step.rule), step.result))
        .collect();
    assert_eq!(
        steps,
        [
            ("p 1".into(), TraceResult::Missed("community")),
            ("p 2".into(), TraceResult::Excluded("family")),
            ("p 3".into(), TraceResult::Matched),
            ("inner 1".into(), TraceResult::Missed("prefix-set")),
        ]
    );
    assert_eq!(&*trace.outcome.rule, "p rule 3");
}

/// Accepts what has an even length of prefix, by code.
#[derive(Debug)]
struct Even(Arc<PrefixSet>);

impl RoutePolicy for Even {
    fn specialise(&self, route: &Route<'_>) -> Residual {
        let sets = SetSpec {
            local_pref: Some(Amount::Plus(1)),
            ..SetSpec::default()
        };
        let edits = sets.edits(route);
        Residual::split(
            Arc::clone(&self.0),
            Outcome::next("even".into(), edits),
            Outcome::reject("odd".into()),
        )
    }

    fn uses(&self) -> Uses {
        Uses::default()
    }
}

#[test]
fn a_policy_in_rust_takes_its_place_among_others() {
    let even = PrefixSet::new(&["10.0.0.0/8".parse().unwrap()]);
    let registry = Registry::default().with("even", Even(Arc::new(even)));
    let rules = vec![
        rule(MatchSpec::default(), local_pref(7), None),
        call("custom:even", None),
        rule(
            MatchSpec {
                local_pref: Some(NumberRange::one(8)),
                ..MatchSpec::default()
            },
            SetSpec::default(),
            Some(Then::Accept),
        ),
    ];
    let set = PolicySet::compile_with(&spec(&[], &[("p", rules)]), &registry).unwrap();
    for list in [vec!["p"], vec!["custom:even", "accept-all"]] {
        let policy = set.chain(&list).unwrap();
        assert_eq!(policy.0.uses(), Uses::default());
        let attrs = route(&[]);
        let even = outcome(&policy, attrs.as_ref(), net("10.0.0.0/8"));
        assert!(even.is_accepted(), "{list:?}");
        let expected = if list.len() == 1 { 8 } else { 101 };
        assert_eq!(even.edits.local_pref(), Some(expected));
        let odd = outcome(&policy, attrs.as_ref(), net("10.0.0.0/9"));
        assert_eq!((odd.is_accepted(), &*odd.rule), (false, "odd"));
    }
    assert!(set.chain(&["custom:odd"]).is_err());
}
