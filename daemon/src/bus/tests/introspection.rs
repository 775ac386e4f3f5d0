//! `docs/dbus/org.inferd1.xml` is what clients are written against: it must say what is served, and a change of it is a
//! change of the interface.

use super::rig::Rig;

const DOCUMENTED: &str = include_str!("../../../../docs/dbus/org.inferd1.xml");

const OBJECTS: [(&str, &str); 5] = [
    ("/org/inferd1", "Manager"),
    ("/org/inferd1/model/belt_2dinspect", "Model"),
    ("/org/inferd1/pipeline/belt", "Pipeline"),
    ("/org/inferd1/job/1", "Job"),
    ("/org/inferd1/spool", "Spool"),
];

/// The interface's element, without what is around it.
fn interface<'a>(xml: &'a str, name: &str) -> &'a str {
    let start = xml.find(&format!("<interface name=\"org.inferd1.{name}\">")).unwrap_or_else(|| panic!("no {name}"));
    let end = start + xml[start..].find("</interface>").unwrap();
    &xml[start..end]
}

/// The tags in their order, without comments.
fn tags(xml: &str) -> Vec<String> {
    let without_comments: String = xml
        .split("<!--")
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once("-->").unwrap().1 })
        .collect();
    let tags = without_comments.split('<').skip(1);
    let words = |tag: &str| tag.split_whitespace().collect::<Vec<_>>().join(" ");
    // An element without content is the same, however it is closed.
    tags.map(|tag| words(tag).trim_end_matches('>').trim_end_matches('/').to_owned()).collect()
}

/// The members of an interface, each with the tags inside it, in the order of their names.
fn members(xml: &str) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    for tag in tags(xml).into_iter().skip(1).filter(|tag| !tag.starts_with('/')) {
        let inside = ["arg ", "annotation "].iter().any(|word| tag.starts_with(word));
        match members.last_mut().filter(|_| inside) {
            Some(member) => member.push_str(&tag),
            None => members.push(tag),
        }
    }
    members.sort();
    members
}

#[tokio::test]
async fn the_documented_interfaces_are_the_served_ones() {
    let rig = Rig::start().await;
    for (path, name) in OBJECTS {
        let reply = rig
            .client
            .call_method(Some("org.inferd1"), path, Some("org.freedesktop.DBus.Introspectable"), "Introspect", &())
            .await
            .unwrap();
        let served: String = reply.body().deserialize().unwrap();
        let (served, documented) = (members(interface(&served, name)), members(interface(DOCUMENTED, name)));
        assert!(served.len() >= 4, "{name}: {served:?}");
        assert_eq!(served, documented, "{name}");
    }
}

#[test]
fn every_member_is_documented() {
    for (_, name) in OBJECTS {
        let text = interface(DOCUMENTED, name);
        for kind in ["<method", "<property", "<signal"] {
            for (at, _) in text.match_indices(kind) {
                assert!(text[..at].trim_end().ends_with("-->"), "{name}: {}", &text[at..at + 60]);
            }
        }
    }
}
