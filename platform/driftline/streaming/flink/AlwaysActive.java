package driftline;

import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.watermarkstatus.WatermarkStatus;

/** Forwards rows and watermarks, but never the idle status; see always_active.py. */
public class AlwaysActive extends AbstractStreamOperator implements OneInputStreamOperator {

    private static final long serialVersionUID = 1L;

    public void processElement(StreamRecord row) {
        output.collect(row);
    }

    public void processWatermarkStatus(WatermarkStatus status) {}
}
