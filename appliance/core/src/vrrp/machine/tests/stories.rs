//! What lies behind the table: who is suspected, what is learned, how one hands over, sleeps and resumes.

use super::*;

#[test]
fn a_silent_master_is_named() {
    let mut bench = Bench::in_state(v3(), Backup);
    bench.hear(HIGHER, 200);
    let actions = bench.expire();
    assert_eq!(why(&actions), (Why::Silent { master: HIGHER, silence: DOWN }, Some(HIGHER)));
    assert_eq!(why(&actions).0.to_string(), "10.0.0.6 has been silent for 3.609 s");
}

#[test]
fn a_master_that_left_is_not_suspected() {
    let mut bench = Bench::in_state(v3(), Backup);
    bench.hear(HIGHER, 200);
    bench.after(ms(900)).hear(HIGHER, 0);
    assert_eq!(bench.timer(), Some(SKEW));
    assert_eq!(why(&bench.expire()), (Why::Left { master: HIGHER }, None));
}

#[test]
fn a_master_that_is_preempted_is_not_suspected() {
    let mut bench = Bench::in_state(v3(), Backup);
    for _ in 0..3 {
        bench.after(ms(1000)).hear(HIGHER, 99);
    }
    let preempting = Why::Preempting { master: HIGHER, theirs: 99, ours: 100 };
    assert_eq!(why(&bench.expire()), (preempting, None));
    assert_eq!(preempting.to_string(), "10.0.0.6 has priority 99 < 100");
}

#[test]
fn a_master_that_dies_while_it_is_being_preempted_is_suspected() {
    let mut bench = Bench::in_state(v3(), Backup);
    bench.after(ms(500)).hear(HIGHER, 99);
    let (why, silent) = why(&bench.expire());
    assert!(matches!(why, Why::Silent { master: HIGHER, .. }), "{why:?}");
    assert_eq!(silent, Some(HIGHER));
}

#[test]
fn the_dead_one_is_suspected_though_a_third_took_over_first() {
    // Given a master of priority 200 that died, and a third box of lower priority than ours that was quicker.
    let mut bench = Bench::in_state(v3(), Backup);
    bench.hear(HIGHER, 200);
    bench.after(ms(3100)).hear(LOWER, 50);
    let (why, silent) = why(&bench.expire());
    assert_eq!(why, Why::Preempting { master: LOWER, theirs: 50, ours: 100 });
    assert_eq!(silent, Some(HIGHER));
}

#[test]
fn without_preemption_a_lower_master_is_followed() {
    let mut bench = Bench::in_state(Settings { preempt: false, ..v3() }, Backup);
    for _ in 0..20 {
        bench.after(ms(1000)).hear(HIGHER, 1);
        assert_eq!(bench.timer(), Some(DOWN));
    }
    assert_eq!(why(&bench.expire()).1, Some(HIGHER));
}

#[test]
fn preemption_waits_for_its_delay() {
    let mut bench = Bench::in_state(Settings { preempt_delay: ms(10_000), ..v3() }, Backup);
    for _ in 0..9 {
        bench.after(ms(1000)).hear(HIGHER, 99);
        assert_eq!(bench.timer(), Some(DOWN));
    }
    bench.after(ms(1000)).hear(HIGHER, 99); // 10 s: not followed any more
    assert_eq!(bench.timer(), Some(DOWN - ms(1000)));
    bench.after(ms(1000)).hear(HIGHER, 99);
    bench.after(ms(1000)).hear(HIGHER, 99);
    assert_eq!(why(&bench.expire()), (Why::Preempting { master: HIGHER, theirs: 99, ours: 100 }, None));
}

#[test]
fn version_3_learns_the_masters_interval() {
    // §6.4.2: Active_Adver_Interval, and with it skew and Master_Down_Interval, are the master's.
    let mut bench = Bench::in_state(v3(), Backup);
    let mut advert = v3().advert(200);
    advert.interval = ms(100);
    let told = bench.handle(Event::Advert { source: HIGHER, advert });
    assert_eq!(brief(&told), ["learned-interval"]);
    assert_eq!(bench.timer(), Some(DOWN / 10));
    // As master it uses its own again.
    bench.expire();
    assert_eq!(bench.timer(), Some(ms(1000)));
}

#[test]
fn what_differs_is_discarded_in_version_2_and_told_in_version_3() {
    type Change = fn(&mut Advert);
    let changes: [(Change, &str, &str); 4] = [
        (|a| a.addresses = Addresses::new(vec![LOWER]).unwrap(), "addresses", "accepted-addresses"),
        (|a| a.interval = ms(2000), "interval", "learned-interval"),
        (|a| a.vrid = Vrid::new(8).unwrap(), "vrid", "vrid"),
        (
            |a| {
                a.form = match a.form {
                    Form::V2 { .. } => Form::V3 { checksum: Coverage::Message },
                    Form::V3 { .. } => Form::V2 { authentication: Authentication::None },
                }
            },
            "version",
            "version",
        ),
    ];
    for (change, in_v2, in_v3) in changes {
        for (settings, label) in [(v2(), in_v2), (v3(), in_v3)] {
            let mut bench = Bench::in_state(settings.clone(), Master);
            let mut advert = settings.advert(200);
            change(&mut advert);
            let event = Event::Advert { source: HIGHER, advert };
            let told = brief(&bench.handle(event.clone()));
            assert_eq!(told[0], label);
            let discarded = !["accepted-addresses", "learned-interval"].contains(&label);
            assert_eq!(bench.instance.state(), if discarded { Master } else { Backup }, "{label}");
            assert_eq!(bench.instance.statistics().received, u64::from(!discarded));
            // Told once, counted each time.
            assert_eq!(brief(&bench.handle(event)), Vec::<String>::new());
            assert_eq!(bench.instance.statistics().misfits[label], 2);
        }
    }
}

#[test]
fn a_version_2_password_must_match() {
    for theirs in [Authentication::None, Authentication::password("1112"), Authentication::password("11111")]
    {
        let mut bench = Bench::in_state(v2(), Backup);
        let advert = settings(Form::V2 { authentication: theirs }).advert(200);
        let told = bench.handle(Event::Advert { source: HIGHER, advert });
        assert_eq!(brief(&told), ["authentication"]);
        assert_eq!(bench.timer(), Some(DOWN));
    }
}

#[test]
fn the_owner_of_the_addresses_may_list_others_in_version_2() {
    let mut bench = Bench::in_state(v2(), Master);
    let mut advert = v2().advert(255);
    advert.addresses = Addresses::new(vec![LOWER]).unwrap();
    bench.handle(Event::Advert { source: HIGHER, advert });
    assert_eq!(bench.instance.state(), Backup);
}

#[test]
fn a_restarted_engine_goes_on_as_master_only_within_the_masters_down_interval() {
    let cases = [
        (Start::Fresh, Backup),
        (Start::Resume { last_advert: t0() }, Master),
        (Start::Resume { last_advert: t0() - (DOWN - Duration::from_nanos(1)) }, Master),
        (Start::Resume { last_advert: t0() - DOWN }, Backup),
        (Start::Resume { last_advert: t0() + Duration::from_nanos(1) }, Backup),
        (Start::Resume { last_advert: Moment::ZERO }, Backup),
    ];
    for (start, state) in cases {
        let mut bench = Bench::new(v3(), start);
        let actions = bench.handle(UP);
        assert_eq!(bench.instance.state(), state, "{start:?}");
        assert_eq!(brief(&actions).contains(&"send 100".to_owned()), state == Master, "advertises at once");
        // The past is used up: after a lost link nobody resumes.
        bench.handle(Event::Link(Link::Down));
        bench.handle(UP);
        assert_eq!(bench.instance.state(), Backup);
    }
}

#[test]
fn a_hand_over_keeps_the_addresses_until_an_heir_is_heard() {
    let mut bench = Bench::in_state(v3(), Master);
    assert_eq!(brief(&bench.handle(Event::HandOver)), ["send 0"]);
    assert_eq!(brief(&bench.handle(Event::HandOver)), Vec::<String>::new());
    assert_eq!(brief(&bench.expire()), ["send 0"], "repeated: the first may be lost");
    let actions = bench.after(ms(600)).hear(LOWER, 99);
    assert_eq!(why(&actions), (Why::HandedOver { heir: LOWER }, None));
    // It holds, though its priority is higher …
    for _ in 0..50 {
        bench.after(ms(1000)).hear(LOWER, 99);
        assert_eq!(bench.timer(), Some(DOWN));
    }
    // … until its heir falls silent.
    assert_eq!(why(&bench.expire()).1, Some(LOWER));
    assert!(!bench.instance.holds());
}

#[test]
fn a_hand_over_without_an_heir_ends_as_master() {
    let mut bench = Bench::in_state(v3(), Master);
    bench.handle(Event::HandOver);
    let started = bench.now;
    let mut said = Vec::new();
    while !said.contains(&"no heir".to_owned()) {
        said = brief(&bench.expire());
        assert_eq!(bench.instance.state(), Master);
    }
    assert_eq!(said, ["no heir", "send 100"]);
    assert!(bench.now.since(started) <= DOWN + ms(2000));
    assert_eq!(brief(&bench.expire()), ["send 100"], "a master like before");
}

#[test]
fn a_released_hold_preempts_again() {
    let mut bench = Bench::in_state(v3(), Master);
    bench.handle(Event::HandOver);
    bench.after(ms(600)).hear(LOWER, 99);
    assert!(bench.instance.holds());
    bench.handle(Event::Release);
    for _ in 0..3 {
        bench.after(ms(1000)).hear(LOWER, 99);
    }
    // Its heir is replaced, not suspected.
    assert_eq!(why(&bench.expire()), (Why::Preempting { master: LOWER, theirs: 99, ours: 100 }, None));
}

#[test]
fn a_master_that_overslept_says_so_and_yields_only_to_one_that_ranks_higher() {
    let mut bench = Bench::in_state(v3(), Master);
    let actions = bench.after(DOWN + Duration::from_nanos(1)).handle(Event::Timeout);
    assert_eq!(brief(&actions), ["overslept", "send 100"]);
    assert_eq!(bench.instance.state(), Master, "nobody may have taken over");
    // What arrived meanwhile is heard first: a higher priority is followed without a word of its own.
    let mut bench = Bench::in_state(v3(), Master);
    let actions = bench.after(DOWN * 2).hear(HIGHER, 101);
    assert_eq!(brief(&actions), ["master → backup"]);
    // Late by less: nothing to tell.
    let mut bench = Bench::in_state(v3(), Master);
    assert_eq!(brief(&bench.after(DOWN).handle(Event::Timeout)), ["send 100"]);
    assert_eq!(bench.timer(), Some(ms(1000)));
}

#[test]
fn adverts_keep_their_beat_when_the_timer_is_late() {
    let mut bench = Bench::in_state(v3(), Master);
    bench.after(ms(1030)).handle(Event::Timeout);
    assert_eq!(bench.timer(), Some(ms(970)));
}

#[test]
fn a_flood_of_lower_priorities_is_not_answered_with_a_flood() {
    let mut bench = Bench::in_state(v3(), Master);
    let mut answers = 0;
    for _ in 0..1000 {
        answers += brief(&bench.after(Duration::from_micros(100)).hear(LOWER, 99))
            .iter()
            .filter(|said| said.as_str() == "send 100")
            .count();
    }
    assert!((9..=10).contains(&answers), "{answers} answers in 100 ms");
}

#[test]
fn whoever_speaks_first_after_a_split_the_one_that_stays_master_learns_of_it() {
    // The stronger one speaks first: the weaker one yields with a word of its own, since the other may not know of it.
    let mut weaker = Bench::in_state(v3(), Master);
    assert_eq!(brief(&weaker.after(ms(20)).hear(HIGHER, 200)), ["send 100", "master → backup"]);
    let mut stronger = Bench::in_state(v3(), Master);
    assert_eq!(brief(&stronger.after(ms(20)).hear(LOWER, 99)), ["send 100", "healed"]);
}

#[test]
fn the_last_word_of_a_preempted_master_ends_no_split() {
    let mut bench = Bench::in_state(v3(), Backup);
    for _ in 0..3 {
        bench.after(ms(1000)).hear(HIGHER, 99);
    }
    assert_eq!(brief(&bench.expire()), ["send 100", "backup → master"]);
    assert_eq!(brief(&bench.after(ms(2)).hear(HIGHER, 99)), [""; 0]);
}

#[test]
fn other_settings_do_not_change_the_state() {
    let other = Settings { priority: Priority::new(50).unwrap(), interval: ms(100), ..v3() };
    for state in [Init, Fault, Backup, Master] {
        let mut bench = Bench::in_state(v3(), state);
        bench.after(ms(20));
        bench.instance.reconfigure(other.clone(), bench.now);
        assert_eq!(bench.instance.state(), state);
        match state {
            Init | Fault => assert_eq!(bench.timer(), None),
            Backup => assert_eq!(bench.timer(), Some(other.master_down(ms(100)))),
            Master => assert_eq!(brief(&bench.handle(Event::Timeout)), ["send 50"]),
        }
    }
}

#[test]
fn a_broken_packet_is_told_once_and_counted() {
    let mut bench = Bench::in_state(v3(), Backup);
    let packet =
        Packet { source: HIGHER, destination: crate::vrrp::wire::GROUP.into(), ttl: 64, message: &[] };
    for count in 1..=3 {
        bench.instance.receive(&packet, bench.now);
        assert_eq!(bench.instance.poll_action().is_some(), count == 1);
        assert_eq!(bench.instance.statistics().misfits["ttl"], count);
    }
    assert_eq!(bench.timer(), Some(DOWN));
}
