//! `docs/validation.md` is what the code computes, and every case passes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, path::Path};

use alora::validate::{Case, Section, Tolerance, document, out_of_date, run};
use alora_calibration::Silent;

fn cases(sections: &[Section]) -> impl Iterator<Item = &Case> {
    sections.iter().flat_map(|section| &section.cases)
}

#[tokio::test]
async fn every_claim_is_made_once_passes_and_stands_on_the_page() {
    let sections = run(&mut Silent).await.unwrap();
    for section in &sections {
        assert!(!section.cases.is_empty(), "{} is empty", section.title);
    }
    let mut claims = BTreeSet::new();
    for case in cases(&sections) {
        assert!(claims.insert(&case.claim), "«{}» is there twice", case.claim);
        // A bar would end a cell of the table.
        assert!(!case.claim.contains('|') && !case.against.contains('|'), "«{}»", case.claim);
        let bounded = match case.tolerance {
            Tolerance::Within(distance) => distance >= 0.0 && distance.is_finite(),
            Tolerance::AtMost | Tolerance::AtLeast => true,
        };
        assert!(bounded && case.expected.is_finite(), "«{}» has no bound", case.claim);
    }
    let failed: Vec<&Case> = cases(&sections).filter(|case| !case.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let stored =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/validation.md")).unwrap();
    assert_eq!(out_of_date(&stored, &sections), None, "run `alora validate`");
    assert_eq!(out_of_date(&document(&sections), &sections), None);
}
