//! A simulated API and a load of virtual agents in which causes are planted: the model is PURE and runs in virtual time;
//! server and load drive the same model over sockets.
