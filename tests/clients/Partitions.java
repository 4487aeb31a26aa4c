import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Scanner;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Where Java's own producer, with its default partitioner, puts keys: reads one key per line (UTF-8), writes each to
 * the topic, and prints the partition the broker acknowledged, one line per key.
 *
 * <p>Run as one source file: java -cp 'JARS/*' Partitions.java BOOTSTRAP TOPIC
 */
public class Partitions {
    public static void main(String[] args) throws Exception {
        var config = Map.<String, Object>of("bootstrap.servers", args[0]);
        var bytes = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(config, bytes, bytes);
                var keys = new Scanner(System.in, StandardCharsets.UTF_8)) {
            while (keys.hasNextLine()) {
                var key = keys.nextLine().getBytes(StandardCharsets.UTF_8);
                System.out.println(producer.send(new ProducerRecord<>(args[1], key, key)).get().partition());
            }
        }
    }
}
