//! Neither a session's id, its data nor whose it is can be read in any file, as text, hex or
//! base64.

use base64ct::Encoding;

use super::*;

const NEEDLE: &str = "qV3rNeedleZx81Kq";

#[tokio::test]
async fn no_file_shows_an_id_or_data() {
    let home = oubliette_testkit::disk::Home::new();
    let store = home.open();
    let web = OublietteSessions::new(store.clone());
    let live = store
        .sign_in(SignIn::new(AccountId::new("needle.example", NEEDLE).unwrap(), tenant(1)))
        .unwrap();
    let bound = binding(&web, &live).await;
    let mut ids = Vec::new();
    for bound in [None, Some(&bound)] {
        for size in [1, 2000] {
            let mut record = record(bound, &NEEDLE.repeat(size));
            record.data.insert(NEEDLE.into(), Value::from(NEEDLE));
            web.create(&mut record).await.unwrap();
            web.save(&record).await.unwrap();
            ids.push(record.id);
        }
    }
    web.delete(&ids[0]).await.unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    let mut needles = vec![NEEDLE.as_bytes()[2..14].to_vec()];
    needles.extend(ids.iter().flat_map(|id| {
        [id.0.to_le_bytes().to_vec(), id.0.to_be_bytes().to_vec(), id.to_string().into_bytes()]
    }));
    let hex = |needle: &Vec<u8>| base16ct::lower::encode_string(needle).into_bytes();
    let base64 = |needle: &Vec<u8>| base64ct::Base64Unpadded::encode_string(needle).into_bytes();
    let forms: Vec<_> =
        needles.iter().flat_map(|needle| [needle.clone(), hex(needle), base64(needle)]).collect();
    for (name, bytes) in oubliette_testkit::disk::contents(home.path().parent().unwrap()) {
        let name = name.to_string_lossy().into_owned().into_bytes();
        for form in &forms {
            let is_in = |bytes: &[u8]| bytes.windows(form.len()).any(|window| window == form);
            assert!(!is_in(&name) && !is_in(&bytes.clone().unwrap_or_default()), "{name:?}");
        }
    }
}
