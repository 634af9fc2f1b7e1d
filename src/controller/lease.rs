//! x
use kube::Client;
pub struct Lease; pub struct Held; #[derive(Default)] pub struct Timing;
impl Lease { pub fn new(_:Client,_:&str,_:&str,_:&str,_:Timing)->Self{Self} pub async fn acquire(&self)->Result<Held,super::error::Error>{Ok(Held)} }
impl Held { pub async fn lost(&mut self){std::future::pending().await} pub async fn release(self){} }
