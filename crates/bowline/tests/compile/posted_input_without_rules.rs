//! What people post is validated: its type must say how.

use bowline::prelude::*;

struct Signups;

#[derive(Deserialize)]
struct Signup {
    email: String,
}

impl Signups {
    async fn sign_up(self: Arc<Self>, cx: Context, signup: Signup) -> Result<usize> {
        cx.step("measure", async || Ok(signup.email.len())).await
    }
}

fn main() {
    let _ = Post::open().start(workflow("sign up", Signups::sign_up));
}
