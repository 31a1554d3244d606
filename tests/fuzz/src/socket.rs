//! Lines of the control socket.

use crate::within::line;

pub(crate) fn control(data: &[u8]) {
    let mut from = data;
    let mut lines = 0;
    while let Ok(Some(line)) = line::read_line(&mut from) {
        lines += line.len() + 1;
        match line::parse(&line) {
            Ok(request) => {
                let again = serde_json::to_string(&request).unwrap();
                assert!(!again.contains('\n'), "one request a line");
                assert!(matches!(line::parse(&again), Ok(same) if same == request));
            }
            Err(bad) => assert!(!bad.to_string().is_empty()),
        }
    }
    assert!(lines <= data.len());
}
