use super::*;

fn clean(text: &str) -> String {
    Redactor::of(None).text(text).0
}

#[test]
fn secrets_go_and_what_helps_stays() {
    let cases = [
        ("rtsp://cam:hunter2@10.0.0.3/stream", "rtsp://REMOVED@10.0.0.3/stream"),
        ("see https://h.example/in?sig=abc#frag now", "see https://h.example/in?REMOVED now"),
        ("http://u:p@ss/w@h:8080/x", "http://REMOVED@h:8080/x"),
        ("\"url\": \"http://u:p@h/\",", "\"url\": \"http://REMOVED@h/\","),
        ("token = \"abc\"", "token = \"REMOVED\""),
        ("{\"password\": \"abc\", \"rate\": 3}", "{\"password\": \"REMOVED\", \"rate\": 3}"),
        ("mqtt_password=abc user=x", "mqtt_password=REMOVED user=x"),
        ("gst --api-key abc --fps 3", "gst --api-key REMOVED --fps 3"),
        ("mosquitto_sub -passwd abc -v", "mosquitto_sub -passwd REMOVED -v"),
        ("Authorization: Bearer abc", "Authorization: Bearer REMOVED"),
        ("Environment=A=b C=d\n", "Environment=REMOVED\n"),
        ("upload.token_file: is /etc/t, which cannot be used", "upload.token_file: is /etc/t, which cannot be used"),
        ("token_file = \"/etc/inferd/token\"", "token_file = \"/etc/inferd/token\""),
        ("the token was refused by the server", "the token was refused by the server"),
        ("inferd_windows_total{pipeline=\"belt\"} 12", "inferd_windows_total{pipeline=\"belt\"} 12"),
    ];
    for (given, expected) in cases {
        assert_eq!(clean(given), expected, "{given}");
    }
}

#[test]
fn what_an_address_of_the_configuration_holds_is_a_secret_everywhere() {
    let mut config = Config::default();
    config.upload.url = Some("https://u:hunt%20er2@h.example/in?sig=open%2Fsesame&full=true".into());
    let redactor = Redactor::of(Some(&config));
    assert_eq!(
        redactor.text("hunt er2, hunt%20er2, open/sesame, open%2Fsesame, true").0,
        "REMOVED, REMOVED, REMOVED, REMOVED, true"
    );
    assert_eq!(redactor.config(&config).upload.url.as_deref(), Some("https://REMOVED@h.example/in?REMOVED"));
}

#[test]
fn outcomes_in_a_log_are_left_out_and_counted() {
    let log = "a\nNov 1 h inferd[1]: {\"pipeline\":\"p\",\"window\":1,\"verdict\":\"event\",\"label\":\"face\"}\nb\n";
    assert_eq!(Redactor::of(None).text(log), ("a\nb\n".to_owned(), 1));
}

proptest::proptest! {
    #[test]
    fn no_password_of_an_address_survives(user in "[a-z]{1,8}", password in "[!#-;=?-_a-z{-~]{4,12}", tail in "[a-z/]{0,9}") {
        let secret = format!("Z{password}Z");
        let said = clean(&format!("cannot open rtsp://{user}:{secret}@camera/{tail} today"));
        proptest::prop_assert!(!said.contains(&secret), "{}", said);
        proptest::prop_assert!(said.ends_with("today") && said.contains("REMOVED"), "{}", said);
    }
}
