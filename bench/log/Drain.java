// Debezium's embedded engine: reads a slot from its start, makes JSON of every change, counts them and ends.
// Arguments: host, port, password, slot, publication, file of offsets, expected changes.
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

public class Drain {
  public static void main(String[] a) throws Exception {
    Properties p = new Properties();
    p.put("name", "bench");
    p.put("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
    p.put("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
    p.put("offset.storage.file.filename", a[5]);
    p.put("offset.flush.interval.ms", "60000");
    p.put("topic.prefix", "bench");
    p.put("database.hostname", a[0]);
    p.put("database.port", a[1]);
    p.put("database.user", "postgres");
    p.put("database.password", a[2]);
    p.put("database.dbname", "postgres");
    p.put("plugin.name", "pgoutput");
    p.put("slot.name", a[3]);
    p.put("publication.name", a[4]);
    p.put("publication.autocreate.mode", "disabled");
    p.put("table.include.list", "public.flight");
    p.put("snapshot.mode", "no_data");
    p.put("tombstones.on.delete", "false");
    p.put("converter.schemas.enable", "false");
    long expected = Long.parseLong(a[6]);
    AtomicLong seen = new AtomicLong();
    AtomicLong bytes = new AtomicLong();
    CountDownLatch done = new CountDownLatch(1);
    DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class).using(p)
        .using((ok, message, error) -> { if (!ok) System.err.println(message + " " + error); done.countDown(); })
        .notifying(event -> {
          if (event.value() == null) return;
          bytes.addAndGet(event.value().length());
          if (seen.incrementAndGet() >= expected) done.countDown();
        }).build();
    var executor = Executors.newSingleThreadExecutor();
    executor.execute(engine);
    done.await();
    // Where it was told everything, what it does afterwards is not counted.
    Runtime.getRuntime().halt(seen.get() == expected ? 0 : 1);
  }
}
