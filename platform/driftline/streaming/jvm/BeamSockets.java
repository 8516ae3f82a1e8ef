package org.apache.beam.runners.fnexecution.environment;

import org.apache.beam.runners.fnexecution.control.ControlClientPool;
import org.apache.beam.sdk.fn.IdGenerator;
import org.apache.beam.sdk.fn.server.GrpcFnServer;
import org.apache.beam.sdk.fn.server.ServerFactory;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.RemoteEnvironmentOptions;

/**
 * Replaces Beam's own class, which lets Python workers connect through TCP ports on all network
 * interfaces, without a password: one of these ports serves any file of this user to anybody. Here
 * the workers connect through Unix sockets in the JVM's private temporary folder. They also load a
 * pickled session from there; Beam's default is /tmp, where any user can put one.
 */
public class ProcessEnvironmentFactory$Provider implements EnvironmentFactory.Provider {

    private final PipelineOptions options;

    public ProcessEnvironmentFactory$Provider(PipelineOptions options) {
        this.options = options;
        RemoteEnvironmentOptions remote =
                (RemoteEnvironmentOptions) options.as(RemoteEnvironmentOptions.class);
        remote.setSemiPersistDir(System.getProperty("java.io.tmpdir"));
    }

    public EnvironmentFactory createEnvironmentFactory(
            GrpcFnServer control,
            GrpcFnServer logging,
            GrpcFnServer retrieval,
            GrpcFnServer provisioning,
            ControlClientPool clients,
            IdGenerator ids) {
        return ProcessEnvironmentFactory.create(
                ProcessManager.create(), provisioning, clients.getSource(), ids, options);
    }

    public ServerFactory getServerFactory() {
        return ServerFactory.createEpollDomainSocket();
    }
}
