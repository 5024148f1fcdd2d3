package retail;

import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;

import io.delta.storage.S3SingleDriverLogStore;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.IOUtils;

/**
 * Delta's log in an S3 store that several drivers commit to: a version is written by PUT with `If-None-Match: *`, so
 * that of the drivers that want the same version one gets it, and the others see a conflict.
 *
 * Janino compiles it (deploy/embedded/jars.py), which knows neither generics nor lambdas.
 */
public class S3ConditionalLogStore extends S3SingleDriverLogStore {
    public S3ConditionalLogStore(Configuration conf) {
        super(conf);
    }

    public void write(Path path, Iterator actions, Boolean overwrite, Configuration conf) throws IOException {
        if (overwrite.booleanValue()) {
            super.write(path, actions, overwrite, conf);
            return;
        }
        ByteArrayOutputStream lines = new ByteArrayOutputStream();
        while (actions.hasNext()) {
            lines.write((actions.next() + "\n").getBytes(StandardCharsets.UTF_8));
        }
        FileSystem store = path.getFileSystem(conf);
        try {
            FSDataOutputStream stream = (FSDataOutputStream) store.createFile(path)
                .recursive().overwrite(false).must("fs.option.create.conditional.overwrite", true).build();
            stream.write(lines.toByteArray());
            stream.close();
        } catch (IOException failure) {
            // The answer to a PUT that succeeded may be lost, and its repetition refused: what is there decides. A
            // commit names its own transaction, so no two are equal.
            byte[] there = contentOf(store, path);
            if (there == null) {
                throw failure;
            }
            if (!Arrays.equals(there, lines.toByteArray())) {
                throw new FileAlreadyExistsException(path.toString());
            }
        }
    }

    /** Return what an object holds, null if there is none. */
    private static byte[] contentOf(FileSystem store, Path path) throws IOException {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        try {
            FSDataInputStream stream = store.open(path);
            IOUtils.copyBytes(stream, content, 65536, true);
        } catch (FileNotFoundException absent) {
            return null;
        }
        return content.toByteArray();
    }
}
