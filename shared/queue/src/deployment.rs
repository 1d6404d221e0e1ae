//! Which deployment this is: a random id that lives as long as the data in Redis. Whoever grants rights outside Redis
//! (an agent, a lock file) tells by it whether two leases come from the same line.

use redis::AsyncCommands;

use crate::{Queue, Result};

impl Queue {
    /// The deployment's id; made by whoever asks first, and anew after Redis lost its data.
    pub async fn deployment(&self) -> Result<String> {
        let mut connection = self.connection().await?;
        let key = self.keys.deployment();
        if let Some(known) = connection.get(&key).await? {
            return Ok(known);
        }
        connection.set_nx::<_, _, bool>(&key, uuid::Uuid::new_v4().to_string()).await?;
        Ok(connection.get(&key).await?)
    }
}
