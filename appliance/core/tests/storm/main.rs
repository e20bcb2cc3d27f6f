//! Explorations of the storm promises with the storm checker as judge: [`states`] over every kernel state that members
//! can be in, [`cluster`] over what happens to a cluster in time. Both must find each protection that is taken out.

mod documents;
mod mutations;
mod cluster;
mod states;

/// Each protection that is taken out is found, by the states or in the simulated cluster; the table says where.
#[test]
fn each_protection_that_is_taken_out_is_found() {
    let mut missed = Vec::new();
    for mutation in &mutations::ALL {
        match (states::find(mutation), cluster::find(mutation)) {
            (None, None) => missed.push(mutation.name),
            (by_states, by_cluster) => {
                println!("without {}:", mutation.name);
                match by_states {
                    Some((what, finding)) => println!("by {what}: {finding}"),
                    None => println!("by no state"),
                }
                println!("in the cluster: {}\n", by_cluster.unwrap_or_else(|| "not".to_owned()));
            }
        }
    }
    assert_eq!(missed, [""; 0], "not found by any exploration");
}
