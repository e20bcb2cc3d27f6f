//! Documents on volumes that are plugged in, when an operator asks for them: a list, or one of them. Waits for disks, so
//! never in the driver; decides only which file is meant.

use crate::volume::{self, Shelf, Volume};

/// How a document on a volume is asked for.
const HOW: &str = "\"config apply usb:NAME\" takes one of them";

/// Every document on the volumes, as text.
pub fn listing() -> String {
    rendered(&volume::shelves())
}

fn rendered(shelves: &[Shelf]) -> String {
    if shelves.is_empty() {
        return format!("no volume labelled {} is plugged in\n", volume::LABEL);
    }
    let mut text = String::new();
    for Shelf { device, documents } in shelves {
        match documents {
            Ok(names) if names.is_empty() => text.push_str(&format!("{device}: no documents\n")),
            Ok(names) => names.iter().for_each(|name| text.push_str(&format!("{device}/{name}\n"))),
            Err(why) => text.push_str(&format!("{device}: {why}\n")),
        }
    }
    format!("{text}{HOW}\n")
}

/// The document of this name with its signature: `next.toml`, or `sdb1/next.toml` where several volumes have one.
///
/// # Errors
/// Why there is none, or that there are several.
pub fn find(name: &str) -> Result<Volume, String> {
    let (device, file) = match name.split_once('/') {
        Some((device, file)) => (Some(device), file),
        None => (None, name),
    };
    let volumes = volume::named(file);
    choose(volumes.into_iter().filter(|volume| device.is_none_or(|wanted| volume.device == wanted)).collect())
}

fn choose(mut volumes: Vec<Volume>) -> Result<Volume, String> {
    if volumes.is_empty() {
        return Err(format!("no such volume labelled {} is plugged in", volume::LABEL));
    }
    // A volume without such a file is no rival of one that has it.
    if volumes.iter().any(|volume| volume.document.is_ok()) {
        volumes.retain(|volume| volume.document.is_ok());
    }
    match &volumes[..] {
        [_] => Ok(volumes.remove(0)),
        several => {
            let names: Vec<&str> = several.iter().map(|volume| volume.device.as_str()).collect();
            Err(format!(
                "several volumes may be meant: {}; name one, as in {}/FILE",
                names.join(", "),
                names[0]
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(device: &str, there: bool) -> Volume {
        let file = || if there { Ok(b"x".to_vec()) } else { Err("there is none".to_owned()) };
        Volume { device: device.to_owned(), document: file(), signature: file() }
    }

    #[test]
    fn the_only_volume_with_the_file_is_meant() {
        assert!(choose(Vec::new()).unwrap_err().contains("no such volume"));
        assert_eq!(choose(vec![volume("sda1", false), volume("sdb1", true)]).unwrap().device, "sdb1");
        assert!(choose(vec![volume("sdb1", false)]).unwrap().document.is_err());
        let several = choose(vec![volume("sda1", true), volume("sdb1", true)]).unwrap_err();
        assert!(several.contains("sda1, sdb1"), "{several}");
    }

    #[test]
    fn a_list_names_what_can_be_asked_for() {
        assert!(rendered(&[]).contains("no volume labelled HALCYON"));
        let shelf = |documents| Shelf { device: "sdb1".into(), documents };
        assert!(rendered(&[shelf(Ok(vec!["next.toml".into()]))]).starts_with("sdb1/next.toml\n"));
        assert!(rendered(&[shelf(Ok(Vec::new()))]).contains("no documents"));
        assert!(rendered(&[shelf(Err("damaged".into()))]).contains("sdb1: damaged"));
    }
}
