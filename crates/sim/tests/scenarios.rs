//! The scenarios of `make sim` in their short form, each a test by its name; their bounds stand beside them.

use sim::{Scenario, compare, play};

fn directory() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")
}

fn scenario(name: &str) -> Scenario {
    let text = std::fs::read_to_string(format!("{}/{name}.toml", directory())).unwrap();
    Scenario::read(&text, true).unwrap_or_else(|why| panic!("{name}: {why}"))
}

fn shows(name: &str) {
    let scenario = scenario(name);
    let played = play(&scenario);
    println!("{name}: {}\n{}", scenario.title, compare(&played.figures, None));
    assert!(played.broken.is_empty(), "{name}: {:#?}", played.broken);
}

macro_rules! scenarios {
    ($($test:ident: $file:literal,)*) => {
        $(#[test]
        fn $test() {
            shows($file);
        })*

        #[test]
        fn every_scenario_is_a_test() {
            let mut files: Vec<String> = std::fs::read_dir(directory())
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            files.sort();
            let mut tests = vec![$($file),*];
            tests.sort_unstable();
            assert_eq!(files, tests);
        }
    };
}

scenarios! {
    a_living_room_of_five: "living-room",
    one_changed_line_is_one_gossip_message: "one-line",
    a_thousand_nodes_with_five_percent_loss: "thousand",
    a_thousand_nodes_through_an_hour: "hour",
    partition_and_heal: "partition",
    rover_orbiter_and_earth: "mars",
    more_than_a_contact_carries: "mars-full",
    one_way_and_nothing_back: "one-way",
    passes_of_ten_minutes_in_ninety: "iss",
    crash_and_restart_from_what_was_durable: "crashes",
    a_forked_log: "fork",
    a_blind_host_in_the_middle: "blind-host",
    several_hops_that_are_never_there_at_once: "hops",
    a_peer_that_lies_and_floods: "hostile",
    much_in_common_and_a_first_meeting: "in-common",
    much_in_common_and_met_before: "in-common-again",
    a_link_cut_a_thousand_times_under_entries: "cut-entries",
    a_link_cut_a_thousand_times_under_chunks: "cut-chunks",
    entries_larger_than_a_link_ever_carries: "cut-large",
    entries_larger_than_a_contact_carries: "short-contacts",
    whoever_has_a_chunk_serves_it: "chunks",
}

// What one seed shows may be luck.
#[test]
fn contacts_far_and_near_hold_from_other_seeds() {
    for name in ["mars", "hops", "blind-host"] {
        let mut scenario = scenario(name);
        for seed in 101..104 {
            scenario.seed = seed;
            let broken = play(&scenario).broken;
            assert!(broken.is_empty(), "{name} from seed {seed}: {broken:#?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let play_with = |seed: u64| {
        let mut scenario = scenario("crashes");
        scenario.seed = seed;
        let played = play(&scenario);
        (played.trace, played.world.steps, played.world.counts, played.figures)
    };
    assert_eq!(play_with(5), play_with(5));
    assert_ne!(play_with(5).0, play_with(6).0);
}
