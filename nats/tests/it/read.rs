use ffapi_nats::PageLimits;

use crate::harness::{TestLog, request};

#[tokio::test]
async fn a_long_history_is_loaded_completely_and_in_order() {
    let test = TestLog::new().await;
    let mut expected = 0;
    for n in 0..1_203 {
        expected = test.log.append(request("a", expected, &n.to_string())).await.unwrap();
    }
    test.log.append(request("b", 0, "other")).await.unwrap();
    let loaded = test.log.load("ev.job.acme.a", 1).await.unwrap();
    assert_eq!(loaded.len(), 1_203);
    assert!(loaded.iter().enumerate().all(|(n, m)| m.payload == n.to_string()));
    assert_eq!(test.log.load("ev.job.acme.a", expected).await.unwrap().len(), 1);
    assert_eq!(test.log.load("ev.job.acme.unknown", 1).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_page_ends_at_its_size_with_at_least_one_message() {
    let test = TestLog::new().await;
    let mut last = 0;
    for size in [100, 200_000, 100, 100, 400_000, 100] {
        last = test.log.append(request("a", last, &"x".repeat(size))).await.unwrap();
    }
    let limits = PageLimits { messages: 4, bytes: 150_000 };
    let (mut pages, mut from) = (vec![], 1);
    loop {
        let page = test.log.page_within("ev.job.acme.a", from, limits).await.unwrap();
        pages.push(page.messages.iter().map(|message| message.sequence).collect::<Vec<_>>());
        from = page.messages.last().unwrap().sequence + 1;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(pages.concat(), [1, 2, 3, 4, 5, 6]);
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| (1..=3).contains(size)) && sizes.len() > 2, "{pages:?}");
    let all = PageLimits { messages: 6, bytes: 1_000_000 };
    let page = test.log.page_within("ev.job.acme.a", 1, all).await.unwrap();
    assert_eq!((page.messages.len(), page.has_more), (6, false));
}

#[tokio::test]
async fn a_reader_receives_each_message_once_and_in_order_across_a_restart() {
    let mut test = TestLog::new().await;
    let mut reader = test.log.follow(1);
    for n in 0..10 {
        test.log.append(request(&format!("a{n}"), 0, "x")).await.unwrap();
    }
    for n in 1..=5 {
        assert_eq!(reader.next().await.sequence, n);
    }
    test.server.kill();
    test.server.restart().unwrap();
    for n in 0..10 {
        test.log.append(request(&format!("b{n}"), 0, "x")).await.unwrap();
    }
    for n in 6..=20 {
        assert_eq!(reader.next().await.sequence, n);
    }
}

#[tokio::test]
async fn a_message_is_found_by_its_sequence() {
    let test = TestLog::new().await;
    let sequence = test.log.append(request("a", 0, "x")).await.unwrap();
    assert_eq!(test.log.at(sequence).await.unwrap().unwrap().subject, "ev.job.acme.a");
    assert!(test.log.at(sequence + 1).await.unwrap().is_none());
    assert_eq!(test.log.last_sequence().await.unwrap(), sequence);
}
