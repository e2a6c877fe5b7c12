//! A browser that loads a page with many images.

use std::fs;

use crate::Client;
use crate::http::serve;
use crate::served::Tested;
use crate::tool::{failed, run};

pub(crate) const CLIENTS: &[Client] =
    &[("chromium_loads_50_images", &["which", "chromium"], loads)];

const IMAGES: usize = 50;

/// Asks for all of its images at once, and says in its title how many came.
const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>loading</title>
<body>
<script>
let left = 50, good = 0;
const done = (isGood) => {
  good += isGood;
  left -= 1;
  if (left === 0) document.title = `loaded ${good}`;
};
for (let number = 0; number < 50; number++) {
  const image = new Image();
  image.onload = () => done(image.naturalWidth > 0);
  image.onerror = () => done(false);
  image.src = `images/${number}.svg`;
  document.body.append(image);
}
</script>
";

fn loads(strategy: &str) -> Tested {
    let folder = tempfile::tempdir()?;
    let images = folder.path().join("images");
    fs::create_dir(&images)?;
    fs::write(folder.path().join("index.html"), PAGE)?;
    for number in 0..IMAGES {
        // Sizes around what the example sends at once.
        let circles = "<circle cx=\"5\" cy=\"5\" r=\"5\"/>\n".repeat(100 * number);
        let head = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\">";
        fs::write(images.join(format!("{number}.svg")), format!("{head}\n{circles}</svg>\n"))?;
    }
    let server = serve(strategy, folder.path())?;
    let profile = tempfile::tempdir()?;
    let profile = format!("--user-data-dir={}", profile.path().display());
    let url = format!("http://{}/", server.address);
    let command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        // Its time stands still while it waits for the network.
        "--virtual-time-budget=10000",
        "--dump-dom",
        &profile,
        &url,
    ];
    let said = run(&command)?;
    let wanted = format!("<title>loaded {IMAGES}</title>");
    if said.contains(&wanted) {
        Ok(())
    } else {
        Err(failed(&command, &"images are missing", &said))
    }
}
