use proptest::prelude::*;

const SAMPLE: &str = include_str!("../../../examples/tor-host.toml");

const SCRAPS: [&str; 24] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "=",
    ",",
    ".",
    "\n",
    "-1",
    "0x",
    "é",
    "\u{1F426}",
    "\0",
    "\r",
    "peer",
    "[policy]",
    "99999999999999999999",
    "\"\"\"",
    "1979-05-27",
    "inf",
];

#[derive(Clone, Debug)]
enum Cut {
    Remove(usize, usize),
    Insert(usize, &'static str),
    Copy(usize, usize, usize),
}

fn cut(text: &mut String, cut: &Cut) {
    let at = |n: usize| text.floor_char_boundary(n % (text.len() + 1));
    match *cut {
        Cut::Remove(from, len) => {
            let from = at(from);
            let to = text.floor_char_boundary(from.saturating_add(len % 40));
            text.replace_range(from..to.max(from), "");
        }
        Cut::Insert(place, scrap) => {
            let place = at(place);
            text.insert_str(place, scrap);
        }
        Cut::Copy(from, len, to) => {
            let (from, to) = (at(from), at(to));
            let end = text.floor_char_boundary(from.saturating_add(len % 40));
            let copy = text[from..end.max(from)].to_owned();
            text.insert_str(to, &copy);
        }
    }
}

fn any_cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        (0..2000usize, 0..40usize).prop_map(|(from, len)| Cut::Remove(from, len)),
        (0..2000usize, prop::sample::select(&SCRAPS[..])).prop_map(|(at, s)| Cut::Insert(at, s)),
        (0..2000usize, 0..40usize, 0..2000usize).prop_map(|(a, b, c)| Cut::Copy(a, b, c)),
    ]
}

proptest! {
    #[test]
    fn mangled_text_is_accepted_or_explained(cuts in prop::collection::vec(any_cut(), 1..12)) {
        let mut text = SAMPLE.to_owned();
        for one in &cuts {
            cut(&mut text, one);
        }
        if let Err(errors) = godwit_config::parse("godwit.toml", &text) {
            prop_assert!(!errors.problems().is_empty());
            prop_assert!(errors.to_string().contains("error"));
        }
    }
}
