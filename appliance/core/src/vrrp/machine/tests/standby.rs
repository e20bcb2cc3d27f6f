//! A standby beside the RFC's backup: what the pings of its master add, and what they do not.

use super::*;

fn answering(who: &[IpAddr]) -> Event {
    Event::Answering(who.iter().copied().collect())
}

/// A backup whose master answers pings, whether or not it is heard any more.
fn standby() -> Bench {
    let mut bench = Bench::in_state(v3(), Backup);
    bench.handle(answering(&[LOWER, HIGHER]));
    bench.hear(HIGHER, 200);
    bench
}

/// The same, with the `Master_Down_Timer` fired.
fn withheld() -> Bench {
    let mut bench = standby();
    assert_eq!(brief(&bench.expire()), ["withheld"]);
    bench
}

#[test]
fn what_ends_a_standbys_waiting() {
    // (event a second after the timer fired in vain, state then, actions, timer then)
    let nothing: &[&str] = &[];
    let takes = ["send 100", "backup → master"];
    #[rustfmt::skip]
    let table: &[(Event, VrrpState, &[&str], Option<Duration>)] = &[
        (answering(&[LOWER, HIGHER]), Backup, nothing, None),
        (answering(&[HIGHER]), Backup, nothing, None),
        (answering(&[LOWER]), Master, &takes, Some(ms(1000))),
        (answering(&[]), Master, &takes, Some(ms(1000))),
        (Event::Timeout, Backup, nothing, None),
        (Event::HandOver, Backup, nothing, None),
        (Event::Release, Backup, nothing, None),
        (UP, Backup, nothing, None),
        (Event::Link(Link::Down), Fault, &["backup → fault"], None),
        (Event::Stop, Init, &["backup → init"], None),
    ];
    for (row, (event, state, actions, timer)) in table.iter().enumerate() {
        let mut bench = withheld();
        let done = bench.after(ms(1000)).handle(event.clone());
        assert_eq!(brief(&done), *actions, "row {row}");
        assert_eq!((bench.instance.state(), bench.timer()), (*state, *timer), "row {row}");
    }
    // (who is heard, with what priority, timer then)
    for (source, priority, timer) in [(HIGHER, 200, DOWN), (LOWER, 150, DOWN), (HIGHER, 0, SKEW)] {
        let mut bench = withheld();
        assert_eq!(bench.after(ms(1000)).hear(source, priority), [], "{source} {priority}");
        assert_eq!(bench.timer(), Some(timer), "{source} {priority}");
    }
}

#[test]
fn silence_in_both_is_one_masters_death_in_either_order() {
    let mut bench = withheld();
    let actions = bench.after(ms(700)).handle(answering(&[LOWER]));
    assert_eq!(why(&actions), (Why::Silent { master: HIGHER, silence: DOWN + ms(700) }, Some(HIGHER)));

    let mut bench = standby();
    assert_eq!(bench.after(ms(700)).handle(answering(&[LOWER])), [], "it may still be heard");
    let actions = bench.expire();
    assert_eq!(why(&actions), (Why::Silent { master: HIGHER, silence: DOWN }, Some(HIGHER)));
}

#[test]
fn a_master_that_is_heard_again_was_never_replaced() {
    let mut bench = withheld();
    for _ in 0..3 {
        bench.after(ms(1000)).hear(HIGHER, 200);
        assert_eq!(bench.timer(), Some(DOWN));
    }
    assert_eq!(brief(&bench.expire()), ["withheld"], "told once per silence");
}

#[test]
fn priority_0_is_silence_in_both() {
    let mut bench = standby();
    bench.hear(HIGHER, 0);
    assert_eq!(bench.timer(), Some(SKEW));
    assert_eq!(why(&bench.expire()).0, Why::Left { master: HIGHER });

    let mut bench = withheld();
    bench.after(ms(1000)).hear(HIGHER, 0);
    assert_eq!(why(&bench.expire()).0, Why::Left { master: HIGHER });
}

#[test]
fn a_weaker_master_is_preempted_though_it_answers() {
    let mut bench = Bench::in_state(v3(), Backup);
    bench.handle(answering(&[LOWER, HIGHER]));
    for _ in 0..3 {
        bench.after(ms(1000)).hear(LOWER, 99);
    }
    assert!(matches!(why(&bench.expire()).0, Why::Preempting { master: LOWER, .. }));

    let mut bench = withheld();
    let actions = bench.after(ms(1000)).hear(LOWER, 99);
    assert!(matches!(why(&actions).0, Why::Preempting { master: LOWER, .. }), "its timer has run already");
}

#[test]
fn a_box_that_never_heard_a_master_waits_for_nobodys_pings() {
    // Otherwise two that boot at once, each answering the other, would wait for ever.
    let mut bench = Bench::in_state(v3(), Backup);
    bench.handle(answering(&[LOWER, HIGHER]));
    assert!(matches!(why(&bench.expire()).0, Why::NobodyHeard { .. }));
}
