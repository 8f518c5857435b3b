use super::*;
use crate::route::Trouble;

fn home(prefix: IpNet) -> Spot {
    Spot {
        prefix,
        place: PlaceId::HOME,
    }
}

#[test]
fn an_entry_costs_what_is_promised() {
    assert_eq!(size_of::<Entry<Key4>>(), 24);
    assert_eq!(size_of::<Entry<Key6>>(), 36);
}

#[test]
fn packed_fields_do_not_disturb_each_other() {
    let mut route = Route::EMPTY;
    route.set_seq(0xabcd_1234_5678);
    route.set_trouble(Trouble::CONNECTED);
    route.set_adopted(true);
    route.set_seen(true);
    route.set_adopted(false);
    assert_eq!(route.seq(), 0xabcd_1234_5678);
    assert_eq!(route.trouble(), Trouble::CONNECTED);
    assert!(route.seen() && !route.adopted());
}

#[test]
fn a_route_is_queued_once_and_the_latest_wish_wins() {
    let mut routes = Routes::new();
    let prefix = home("10.0.0.0/8".parse().unwrap());
    routes.want(&prefix, Target::BLACKHOLE, 1);
    assert_eq!(routes.want(&prefix, Target::slot(4), 2), Target::BLACKHOLE);
    let (popped, route) = routes.pop().unwrap();
    assert_eq!(
        (popped, route.want.as_slot(), route.seq()),
        (prefix, Some(4), 2)
    );
    assert!(routes.pop().is_none());
}

#[test]
fn pages_show_every_route_of_both_families_once() {
    let mut routes = Routes::new();
    for i in 0..100_u32 {
        routes.want(
            &home(IpNet::new(std::net::Ipv4Addr::from(i << 8).into(), 24).unwrap()),
            Target::BLACKHOLE,
            0,
        );
        let v6 = std::net::Ipv6Addr::from(u128::from(i) << 64);
        routes.want(
            &home(IpNet::new(v6.into(), 64).unwrap()),
            Target::BLACKHOLE,
            0,
        );
    }
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let (page, next) = routes.page(after, 7);
        seen.extend(page.into_iter().map(|(prefix, _)| prefix));
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 200);
}

#[test]
fn a_prefix_has_a_route_at_each_place() {
    let mut routes = Routes::new();
    let here = home("10.0.0.0/8".parse().unwrap());
    let there = Spot {
        place: PlaceId(7),
        ..here
    };
    routes.want(&there, Target::BLACKHOLE, 1);
    assert!(routes.find(&here).is_none());
    routes.want(&here, Target::slot(1), 2);
    assert_eq!(routes.unwant(&there), Target::BLACKHOLE);
    assert_eq!(routes.pop().unwrap().0, there);
    assert_eq!(routes.pop().unwrap().0, here);
    assert!(routes.find(&there).unwrap().moved());
    assert!(!routes.find(&here).unwrap().moved());
}
