use crate::harness::{Bed, draft};

#[tokio::test]
async fn a_long_life_is_loaded_whole_and_in_order() {
    let bed = Bed::new().await;
    let mut expected = 0;
    for n in 0..1_203 {
        expected = bed.log.append(draft("a", expected, &n.to_string())).await.unwrap();
    }
    bed.log.append(draft("b", 0, "other")).await.unwrap();
    let loaded = bed.log.load("ev.job.acme.a", 1).await.unwrap();
    assert_eq!(loaded.len(), 1_203);
    assert!(loaded.iter().enumerate().all(|(n, m)| m.payload == n.to_string()));
    assert_eq!(bed.log.load("ev.job.acme.a", expected).await.unwrap().len(), 1);
    assert_eq!(bed.log.load("ev.job.acme.nobody", 1).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_reader_sees_everything_once_and_in_order_across_a_restart() {
    let mut bed = Bed::new().await;
    let mut reader = bed.log.follow(1);
    for n in 0..10 {
        bed.log.append(draft(&format!("a{n}"), 0, "x")).await.unwrap();
    }
    for n in 1..=5 {
        assert_eq!(reader.next().await.sequence, n);
    }
    bed.server.kill();
    bed.server.restart().unwrap();
    for n in 0..10 {
        bed.log.append(draft(&format!("b{n}"), 0, "x")).await.unwrap();
    }
    for n in 6..=20 {
        assert_eq!(reader.next().await.sequence, n);
    }
}

#[tokio::test]
async fn a_message_can_be_had_by_its_sequence() {
    let bed = Bed::new().await;
    let sequence = bed.log.append(draft("a", 0, "x")).await.unwrap();
    assert_eq!(bed.log.at(sequence).await.unwrap().unwrap().subject, "ev.job.acme.a");
    assert!(bed.log.at(sequence + 1).await.unwrap().is_none());
    assert_eq!(bed.log.last_sequence().await.unwrap(), sequence);
}
