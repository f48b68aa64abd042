import org.apache.rocketmq.namesrv.NamesrvStartup;
import org.apache.rocketmq.proxy.ProxyStartup;

/**
 * Name server, broker and proxy in one JVM, for one machine.
 * Arguments: name server address, namesrv.conf, broker.conf, rmq-proxy.json.
 */
public final class LocalRocketMq {
    private LocalRocketMq() {
    }

    public static void main(String[] args) {
        NamesrvStartup.main(new String[] {"-c", args[1]});
        ProxyStartup.main(new String[] {"-n", args[0], "-pm", "local", "-bc", args[2], "-pc", args[3]});
    }
}
