// A server that speaks MongoDB's protocol, over a directory of SQLite files, for the tests of the MongoDB store. It
// prints its URI and ends when its standard input ends, so that no test run can leave it behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	dir := flag.String("dir", "", "directory of the data, which exists")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	remove := flag.Bool("remove", false, "remove the directory at the end")
	flag.Parse()

	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: *listen},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + *dir + "/",
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go func() { fmt.Println(server.MongoDBURI()) }()
	_ = server.Run(ctx)
	if *remove {
		_ = os.RemoveAll(*dir)
	}
}
