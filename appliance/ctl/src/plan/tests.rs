use halcyon_core::config::check::check;

use super::*;

const PAIR: &str = include_str!("../../../../examples/pair.toml");

fn picture(vrrp: &[&str], down: &[&str]) -> serde_json::Value {
    let config = check(PAIR).unwrap();
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let me = member(&config, "castor").unwrap();
    let view = view(&config, &owned(vrrp), &owned(down)).unwrap();
    serde_json::to_value(Picture::of(&config, me, &view, &plan(&config, me, &view))).unwrap()
}

fn refused(vrrp: &[&str], down: &[&str]) -> String {
    let config = check(PAIR).unwrap();
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    view(&config, &owned(vrrp), &owned(down)).unwrap_err().to_string()
}

/// The items that `list` names, each of which must have a reason.
fn items(list: &serde_json::Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap();
    for item in list {
        assert!(item["why"].is_string(), "{item} has no reason");
    }
    list.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_backup_is_shown_with_a_reason_for_each_item() {
    let shown = picture(&[], &[]);
    assert_eq!(items(&shown["links"], "name"), ["lan"]);
    assert_eq!(items(&shown["addresses"], "address"), ["192.168.0.239/32", "192.168.0.236/24"]);
    assert_eq!(items(&shown["routes"], "via"), ["192.168.0.1"]);
    assert!(items(&shown["sysctls"], "name").contains(&"net.ipv4.vs.sloppy_tcp".to_owned()));
    assert_eq!(items(&shown["rules"]["peers"], "mac"), ["52:54:00:00:00:0b"]);
    assert!(items(&shown["rules"]["accept"], "rule").iter().any(|rule| rule.starts_with("VRRP on lan")));
    assert_eq!(items(&shown["services"], "matches")[0], "tcp 192.168.0.239:8898");
    for service in shown["services"].as_array().unwrap() {
        assert_eq!(items(&service["servers"], "name"), ["castor", "pollux"]);
    }
    assert_eq!(shown["services"][1]["mark"], 7);
}

#[test]
fn a_master_holds_the_virtual_address_and_a_dead_server_is_out() {
    for id in ["51=master", "lan/51=master"] {
        let shown = picture(&[id], &["pos/pollux"]);
        assert_eq!(shown["vrrp"]["lan/51"], "master");
        let addresses = shown["addresses"].as_array().unwrap();
        assert!(addresses.iter().any(|a| a["role"] == "virtual" && a["address"] == "192.168.0.239/32"));
        assert_eq!(items(&shown["services"][0]["servers"], "name"), ["castor"]);
        let reasons = shown["reasons"].as_array().unwrap();
        assert!(reasons.iter().any(|reason| reason["item"] == "no server pollux of pos"), "{reasons:?}");
    }
}

#[test]
fn arguments_that_fit_nothing_are_refused_with_what_would() {
    for (vrrp, down, says) in [
        (&["51"][..], &[][..], "has no state"),
        (&["51=leader"], &[], "\"leader\" is no state; write init, backup, master or fault"),
        (&["52=master"], &[], "there is no virtual router \"52\"; the document has lan/51"),
        (&[], &["pos/helena"], "there is no such server; the document has pos/castor, pos/pollux"),
    ] {
        assert!(refused(vrrp, down).contains(says), "{}", refused(vrrp, down));
    }
    let config = check(PAIR).unwrap();
    assert!(member(&config, "helena").unwrap_err().to_string().contains("the document has castor, pollux"));
}
