use super::*;

/// Central Europe in 2026: summer time from 29 March, 02:00, to 25 October, 03:00.
const EUROPE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn power(active: &[&str]) -> Power {
    let texts: Vec<String> = active.iter().map(|text| (*text).to_owned()).collect();
    Power { active: texts.try_into().unwrap(), ..Power::default() }
}

fn rest(power: &Power) -> Rest {
    Rest::in_zone(power, Some(TimeZone::posix(EUROPE).unwrap()))
}

/// Until when it is outside its hours at a time in UTC, in UTC; `None` where it is within.
fn until(active: &[&str], now: &str) -> Option<String> {
    let rest = rest(&power(active));
    let plan = rest.0.as_ref().unwrap();
    let (zone, now): (_, Timestamp) = (plan.zone(), now.parse().unwrap());
    (!plan.shows_active(&zone.to_datetime(now))).then(|| plan.next_active(&zone, now).unwrap().to_string())
}

fn clock_at(time: &str) -> Clock {
    let clock = Clock::manual();
    let time: Timestamp = time.parse().unwrap();
    clock.advance(Duration::try_from(time.duration_since(timestamp(clock.unix_ns()))).unwrap());
    clock
}

#[test]
fn hours_begin_and_end_by_the_clock_on_the_wall() {
    // 2026-06-01 is a Monday; summer time is UTC+2.
    let office = &["Mon-Fri 07:00-19:00"][..];
    for (active, now, expected) in [
        (office, "2026-06-01T04:59:59Z", Some("2026-06-01T05:00:00Z")),
        (office, "2026-06-01T05:00:00Z", None),
        (office, "2026-06-01T16:59:59Z", None),
        (office, "2026-06-01T17:00:00Z", Some("2026-06-02T05:00:00Z")),
        (office, "2026-06-05T17:00:00Z", Some("2026-06-08T05:00:00Z")),
        // In winter the same clock is an hour later by UTC.
        (office, "2026-12-01T05:30:00Z", Some("2026-12-01T06:00:00Z")),
        // Over midnight, of every day and of one.
        (&["22:00-06:00"], "2026-06-01T23:00:00Z", None),
        (&["22:00-06:00"], "2026-06-02T03:59:00Z", None),
        (&["22:00-06:00"], "2026-06-02T04:00:00Z", Some("2026-06-02T20:00:00Z")),
        (&["Mon 22:00-06:00"], "2026-06-02T03:59:00Z", None),
        (&["Mon 22:00-06:00"], "2026-06-02T20:30:00Z", Some("2026-06-08T20:00:00Z")),
        // The first of several.
        (&["Sun 08:00-12:00", "Sat 10:00-11:00"], "2026-06-05T12:00:00Z", Some("2026-06-06T08:00:00Z")),
        // This very day in a week.
        (&["Mon 07:00-08:00"], "2026-06-01T06:00:00Z", Some("2026-06-08T05:00:00Z")),
    ] {
        assert_eq!(until(active, now).as_deref(), expected, "{active:?} at {now}");
    }
}

#[test]
fn the_hour_that_summer_time_leaves_out_is_not_active() {
    for (active, now, expected) in [
        // 02:00 is 03:00 at 01:00 UTC: what would begin between does then.
        ("02:30-05:00", "2026-03-29T00:59:59Z", Some("2026-03-29T01:00:00Z")),
        ("02:30-05:00", "2026-03-29T01:00:00Z", None),
        // What would end between does then, too.
        ("01:00-02:30", "2026-03-29T00:59:59Z", None),
        ("01:00-02:30", "2026-03-29T01:00:00Z", Some("2026-03-29T23:00:00Z")),
        // What lies in it comes on the next day.
        ("02:10-02:20", "2026-03-29T00:59:59Z", Some("2026-03-30T00:10:00Z")),
        // Or in the next week.
        ("Sun 02:10-02:20", "2026-03-28T12:00:00Z", Some("2026-04-05T00:10:00Z")),
        // A night is an hour shorter.
        ("22:00-06:00", "2026-03-29T03:59:59Z", None),
        ("22:00-06:00", "2026-03-29T04:00:00Z", Some("2026-03-29T20:00:00Z")),
    ] {
        assert_eq!(until(&[active], now).as_deref(), expected, "{active} at {now}");
    }
}

#[test]
fn the_hour_that_comes_twice_is_active_twice() {
    for (active, now, expected) in [
        // 03:00 is 02:00 again at 01:00 UTC.
        ("02:10-02:20", "2026-10-25T00:05:00Z", Some("2026-10-25T00:10:00Z")),
        ("02:10-02:20", "2026-10-25T00:10:00Z", None),
        ("02:10-02:20", "2026-10-25T00:20:00Z", Some("2026-10-25T01:10:00Z")),
        ("02:10-02:20", "2026-10-25T01:19:59Z", None),
        ("02:10-02:20", "2026-10-25T01:20:00Z", Some("2026-10-26T01:10:00Z")),
        // The clock is set back into it.
        ("01:00-02:30", "2026-10-25T00:30:00Z", Some("2026-10-25T01:00:00Z")),
        ("01:00-02:30", "2026-10-25T01:00:00Z", None),
        ("22:00-06:00", "2026-10-25T04:59:59Z", None),
        ("22:00-06:00", "2026-10-25T05:00:00Z", Some("2026-10-25T21:00:00Z")),
    ] {
        assert_eq!(until(&[active], now).as_deref(), expected, "{active} at {now}");
    }
}

#[test]
fn a_rest_says_until_when_and_is_looked_at_within_a_minute() {
    let rest = rest(&power(&["Mon-Fri 07:00-19:00"]));
    let clock = clock_at("2026-06-06T12:00:00Z");
    let resting = rest.now(&clock).unwrap();
    assert_eq!(resting.reason, "outside its active hours until Mon 07:00");
    assert_eq!(resting.until.since(clock.now()), LOOK_EVERY);
    let clock = clock_at("2026-06-08T04:59:30Z");
    assert_eq!(rest.now(&clock).unwrap().until.since(clock.now()), Duration::from_secs(30));
    clock.advance(Duration::from_secs(30));
    assert_eq!((rest.now(&clock), rest.is_due(&clock)), (None, false));
    assert!(rest.look_within(&clock).unwrap() <= LOOK_EVERY);
}

#[test]
fn a_cycle_begins_with_a_frame_and_goes_round() {
    let power = Power { on_s: Some(10.0), off_s: Some(50.0), ..Power::default() };
    let (rest, clock) = (rest(&power), clock_at("2026-06-06T12:00:00Z"));
    let after = |seconds: u64, frame: bool| {
        clock.advance(Duration::from_secs(seconds));
        if frame {
            rest.frame_came(clock.now());
        }
        rest.is_due(&clock)
    };
    assert!(!after(100, false), "a device that gives nothing is not closed");
    assert!(!after(0, true));
    assert!(!after(9, true));
    assert!(after(1, true), "the on part is over, whatever still comes");
    assert_eq!(rest.now(&clock).unwrap().reason, "duty cycle: reads again at 14:02:40");
    assert!([after(30, false), after(19, false)].into_iter().all(|is_due| is_due));
    assert!(!after(1, false));
    assert!(!after(30, false), "the next on part waits for its first frame");
    assert!(!after(0, true));
    assert!(after(10, false));
}

#[test]
fn a_cycle_goes_round_only_within_active_hours() {
    let power = Power { on_s: Some(1.0), off_s: Some(5.0), ..power(&["12:00-13:00"]) };
    let (rest, clock) = (rest(&power), clock_at("2026-06-06T10:00:00Z"));
    rest.frame_came(clock.now());
    assert!(!rest.is_due(&clock));
    clock.advance(Duration::from_secs(2));
    assert!(rest.now(&clock).unwrap().reason.starts_with("duty cycle"));
    clock.advance(Duration::from_secs(3600));
    assert_eq!(rest.now(&clock).unwrap().reason, "outside its active hours until Sun 12:00");
}

#[test]
fn a_source_without_hours_and_cycle_never_rests() {
    let rest = Rest::of(&Power { max_per_second: Some(1.0), ..Power::default() });
    let clock = Clock::manual();
    assert!(rest.now(&clock).is_none() && rest.look_within(&clock).is_none() && !rest.is_due(&clock));
}
